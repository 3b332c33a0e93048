"""Who may import whom. An arrow that is not drawn here is a decision: see ARCHITECTURE.md."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Module -> what of its own room it may import. The model server's files are a room of their own.
SERVICE = {
    "__init__": set(),
    "errors": set(),
    "logs": set(),
    "messages": set(),
    "metrics": set(),
    "settings": {"tls"},
    "admission": {"errors"},
    "headers": set(),
    "docs": {"headers"},
    "keys": {"errors", "logs", "settings"},
    "jpeg": set(),
    "image": {"errors", "jpeg"},
    "detector": {"admission", "errors", "image", "metrics", "settings"},
    "prediction": {"detector", "errors", "messages"},
    "backends": {"logs"},
    "tls": set(),
    "status_codes": {"errors", "prediction"},
    "channel": {"settings"},
    "tfserving": {
        *("backends", "channel", "detector", "errors", "messages", "metrics", "prediction"),
        *("settings", "status_codes"),
    },
    "drawing": {"detector", "image"},
    "buffer": {"errors"},
    "uploads": {"buffer", "errors", "image", "settings"},
    "routing": set(),
    "patience": {"errors"},
    "schema": {"detector", "image", "patience"},
    "problems": {"errors", "headers"},
    "observe": {"detector", "headers", "logs", "metrics"},
    "app": {
        *("buffer", "detector", "drawing", "errors", "logs", "metrics", "observe", "problems"),
        *("docs", "keys", "patience", "schema", "routing", "settings", "tfserving", "uploads"),
    },
    "framing": set(),
    "leaving": set(),
    "refusal": {"headers", "problems"},
    "conversation": {"app", "errors", "leaving", "refusal", "uploads"},
    "connection": {"app", "conversation", "errors", "framing", "observe"},
    "__main__": {"app", "connection", "logs", "settings"},
    "run": set(),
}
# Foreign packages that only these modules of the gateway may know.
DOORS = {
    "grpc": {"channel", "status_codes", "tfserving"},
    "fastapi": {"app", "docs", "keys", "problems", "routing"},
    "starlette": {
        *("app", "docs", "keys", "patience", "problems", "observe", "routing", "uploads"),
    },
    "uvicorn": {"__main__", "conversation", "leaving"},
    "PIL": {"image", "drawing"},
    "tensorflow_serving": {"messages"},
    "tensorflow": {"messages"},  # its message modules; test_main looks that nothing else comes
}


def imports(path: Path) -> set[str]:
    """Absolute dotted names of what a file imports, wherever in it."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            found.add(".".join(base))
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


@pytest.mark.parametrize(
    ("room", "others"),
    [
        ("service", {"yolov4", "loadtest", "tests"}),
        ("yolov4", {"service", "loadtest", "tests"}),
        ("loadtest", {"service", "yolov4", "tests"}),
    ],
)
def test_rooms_do_not_import_each_other(room: str, others: set[str]) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & others, path


def test_the_gateways_arrows() -> None:
    files = {path.stem: path for path in (ROOT / "service").glob("*.py")}
    assert set(files) == set(SERVICE)
    for name, path in files.items():
        own = {i.split(".")[1] for i in imports(path) if i.startswith("service.")}
        assert own & set(SERVICE) <= SERVICE[name], path
        assert "model_server" not in own, path


def test_the_gateways_doors() -> None:
    for path in (ROOT / "service").glob("*.py"):
        roots = {name.split(".")[0] for name in imports(path)}
        for package, doors in DOORS.items():
            assert package not in roots or path.stem in doors, f"{path} imports {package}"


def test_the_models_arrows() -> None:
    """Along this line only: each may import what stands before it."""
    line = [
        *("errors", "network", "architecture", "cfg", "weights", "darknet"),
        *("torch_pickle", "torch_checkpoint", "precision"),
        *("graph", "detect", "repository", "export", "neuron", "compile", "download"),
        *("average_precision", "verify", "__main__"),
    ]
    for path in (ROOT / "yolov4").glob("*.py"):
        if path.stem == "__init__":
            continue
        own = {i.split(".")[1] for i in imports(path) if i.startswith("yolov4.")} & set(line)
        assert path.stem in line, f"{path} has no place on the line"
        assert {line.index(name) for name in own} <= set(range(line.index(path.stem))), path


@pytest.mark.parametrize(
    "name",
    [
        *("errors", "network", "architecture", "cfg", "weights", "darknet"),
        *("torch_pickle", "torch_checkpoint"),
    ],
)
def test_the_network_as_data_needs_no_tensorflow(name: str) -> None:
    path = ROOT / "yolov4" / f"{name}.py"
    if path.exists():
        assert "tensorflow" not in {i.split(".")[0] for i in imports(path)}
