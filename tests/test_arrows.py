"""Which room may import which. A new arrow is a decision: see ARCHITECTURE.md."""

import ast
from pathlib import Path

import pytest

from tests.support.project import ROOT

LEAVES = {"core", "keys", "settings"}
# Room -> the other rooms of service/ that it may import. `core`, `keys`, `settings` import no room.
SERVICE = {
    "detection": LEAVES,
    "backend": {"detection", *LEAVES},
    "api": {"detection", "backend", *LEAVES},
    "server": LEAVES,
    "model_server": {"backend", "core", "settings"},
    "__main__": {"api", "server", *LEAVES},
    "run": {"core"},
    **dict.fromkeys(LEAVES, LEAVES),
}
# Foreign packages, and the only places that may import them.
DOORS = {
    "grpc": {"backend", "model_server"},
    "fastapi": {"api"},
    "starlette": {"api"},
    "uvicorn": {"__main__", "server"},
    "PIL": {"detection"},
    "opentelemetry": {"core"},
    "tensorflow_serving": {"backend", "model_server"},
    "tensorflow": {"backend", "model_server"},  # in backend message classes alone, see test_main
}
# Each room of yolov4/ may import those before it.
YOLOV4 = [
    *("errors", "network", "darknet", "torch", "load", "download"),
    *("graph", "export", "verify", "demo", "train", "__main__"),
]


def imports(path: Path) -> set[str]:
    """Absolute dotted names of what a file imports, wherever in it."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            names.add(".".join(base))
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


def room(path: Path) -> str:
    """`service/api/routes.py` -> `api`, `service/core/errors.py` -> `errors`."""
    return path.relative_to(ROOT).with_suffix("").parts[1]


def files(package: str) -> list[Path]:
    return [path for path in (ROOT / package).rglob("*.py") if room(path) != "__init__"]


@pytest.mark.parametrize(
    ("package", "others"),
    [
        ("service", {"yolov4", "loadtest", "detect_client", "tests"}),
        ("yolov4", {"service", "loadtest", "detect_client", "tests"}),
        ("loadtest", {"service", "yolov4", "detect_client", "tests"}),
        ("client", {"service", "yolov4", "loadtest", "tests"}),
    ],
)
def test_packages_do_not_import_each_other(package: str, others: set[str]) -> None:
    assert files(package)
    for path in files(package):
        assert not {name.split(".")[0] for name in imports(path)} & others, path


def test_the_services_arrows() -> None:
    assert {room(path) for path in files("service")} == set(SERVICE)
    for path in files("service"):
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("service.")}
        assert rooms & set(SERVICE) <= {room(path), *SERVICE[room(path)]}, path


def test_the_services_doors() -> None:
    for path in files("service"):
        packages = {name.split(".")[0] for name in imports(path)}
        for package, doors in DOORS.items():
            assert package not in packages or room(path) in doors, f"{path} imports {package}"


def test_the_models_arrows() -> None:
    assert {room(path) for path in files("yolov4")} == set(YOLOV4)
    for path in files("yolov4"):
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("yolov4.")}
        allowed = set(YOLOV4[: YOLOV4.index(room(path)) + 1])
        assert rooms & set(YOLOV4) <= allowed, path


def test_reading_a_model_needs_no_tensorflow() -> None:
    for path in files("yolov4"):
        before_graph = YOLOV4.index(room(path)) < YOLOV4.index("graph")
        packages = {name.split(".")[0] for name in imports(path)}
        assert not before_graph or "tensorflow" not in packages, path


def test_only_the_benches_start_or_call_what_is_ours() -> None:
    for path in files("loadtest"):
        packages = {name.split(".")[0] for name in imports(path)}
        assert room(path) == "bench" or not packages & {"grpc", "tensorflow"}, path
