"""`python docker/gateway/packages.py TO`: what the gateway needs out of a whole environment.

The locked requirements hold TensorFlow, because TensorFlow Serving's message classes import a few
of TensorFlow's. An image of 2 GB for that is what users of `tensorflow-serving-api` complain about.
So the image's builder installs everything, with hashes, and this copies from it into the folder TO

- the distributions in requirements/run.in and otel.in with all they require, but for the runtime's;
- of TensorFlow, the dozen generated message modules that its messages need, and no more.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = {"tensorflow", "tensorflow-serving-api", "numpy"}  # the model server's and the exporter's


def main(to: Path) -> None:
    for name in sorted(closure(roots())):
        copy_distribution(name, to)
    for source, path in message_modules():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to / path)


def roots() -> set[str]:
    files = (ROOT / "requirements" / name for name in ("run.in", "otel.in"))
    lines = [line for file in files for line in file.read_text().splitlines() if line[:1] != "-"]
    names = {re.match(r"[\w.-]*", line)[0].lower() for line in lines}  # type: ignore[index]
    # The generated modules need protobuf, which only the runtime's distributions require.
    return (names - RUNTIME - {""}) | {"protobuf"}


def closure(names: set[str]) -> set[str]:
    """With what they require: what another system or an extra would need is not installed."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        waiting += [re.match(r"[\w.-]+", r)[0] for r in requires if "extra ==" not in r]  # type: ignore[index]
    if missing := {normal(name) for name in names} - found:
        raise SystemExit(f"not installed: {', '.join(sorted(missing))}")
    if runtime := found & RUNTIME:
        raise SystemExit(f"the gateway would need {', '.join(sorted(runtime))}")
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def copy_distribution(name: str, to: Path) -> None:
    for file in metadata.files(name) or []:
        if ".." in file.parts or "__pycache__" in file.parts:  # scripts, and what Python makes anew
            continue
        target = to / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file.locate(), target)


def message_modules() -> Iterator[tuple[Path, Path]]:
    """Where each lies, and its place under TO."""
    sys.path.insert(0, str(ROOT))
    import service.backend.messages  # noqa: F401

    for name, module in list(sys.modules.items()):
        source = getattr(module, "__file__", None)
        if name.partition(".")[0] in ("tensorflow", "tensorflow_serving") and source:
            path = Path(*name.split("."))
            package = hasattr(module, "__path__")
            yield Path(source), path / "__init__.py" if package else path.with_suffix(".py")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
