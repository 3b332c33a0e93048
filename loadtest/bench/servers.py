"""The four compared servers: how each is started, and its virtual environment."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .. import CommandError

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).with_name("peers")
CACHE = ROOT / ".bench"
UPLOADS = RAW, MULTIPART = ("raw", "multipart")


@dataclass(frozen=True)
class Server:
    """`venv`: named after its `requirements/bench-<venv>.txt`; None is the current environment."""

    name: str
    venv: str | None
    command: tuple[str, ...]
    paths: dict[str, str]
    settings: str
    versions: tuple[str, ...]

    @property
    def python(self) -> Path:
        return Path(sys.executable) if self.venv is None else CACHE / self.venv / "bin" / "python"

    def environment(self, port: int, backend: str) -> dict[str, str]:
        if self.venv is None:
            return {"DETECT_PORT": str(port), "DETECT_BACKEND": backend}
        return {
            "BENCH_PORT": str(port),
            "BENCH_BACKEND": backend,
            "BENTOML_PORT": str(port),
            "BENTOML_HOST": "127.0.0.1",
            "BENTOML_DO_NOT_TRACK": "True",
            "PYTHONPATH": os.pathsep.join([str(PEERS), str(CACHE / "messages")]),
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
        }


OWN = "this gateway"
FLOOR = "bare forwarder"
PATHS = {RAW: "/raw", MULTIPART: "/multipart"}
SERVERS = (
    Server(
        OWN,
        None,
        ("-m", "service"),
        {RAW: "/detect", MULTIPART: "/detect"},
        "as `python -m service` starts: one JSON log line per request, metrics, all validation",
        ("fastapi", "uvicorn", "uvloop", "grpcio", "pillow"),
    ),
    Server(
        "LitServe",
        "litserve",
        (str(PEERS / "litserve_app.py"),),
        PATHS,
        "async API, fast_queue, 1 HTTP process, 1 worker, no access log",
        ("litserve", "fastapi", "uvicorn", "uvloop", "grpcio", "pillow"),
    ),
    Server(
        "BentoML",
        "bentoml",
        ("-m", "bentoml", "serve", "bentoml_app:Detect", "--working-dir", str(PEERS)),
        PATHS,
        "async API, 1 worker, no access log, uvloop and httptools added",
        ("bentoml", "starlette", "uvicorn", "uvloop", "grpcio", "pillow"),
    ),
    Server(
        FLOOR,
        "fastapi",
        (str(PEERS / "fastapi_app.py"),),
        PATHS,
        "FastAPI without validation, limits, metrics or log",
        ("fastapi", "uvicorn", "uvloop", "grpcio", "pillow"),
    ),
)


def install(servers: Iterable[Server]) -> None:
    """Create missing and outdated environments, and copy the message classes the peers import."""
    for server in servers:
        if server.venv is not None:
            _install_venv(CACHE / server.venv, ROOT / "requirements" / f"bench-{server.venv}.txt")
    _copy_messages(CACHE / "messages")


def _install_venv(venv: Path, pins: Path) -> None:
    stamp = venv / "pins.sha256"
    wanted = hashlib.sha256(pins.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"Installing {pins.name} into {venv.relative_to(ROOT)} ...", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", str(pins)]
    subprocess.run(pip, check=True)
    stamp.write_text(wanted)


def _copy_messages(folder: Path) -> None:
    """Only TensorFlow Serving's message modules, so that the peers do not need TensorFlow."""
    shutil.rmtree(folder, ignore_errors=True)
    for package, inside in (("tensorflow", "core/framework"), ("tensorflow_serving", "apis")):
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise CommandError(f"{package} is not installed: pip install -r requirements/run.txt")
        source = Path(next(iter(spec.submodule_search_locations))) / inside
        target = folder / package / inside
        target.mkdir(parents=True)
        for module in source.glob("*_pb2.py"):
            shutil.copy(module, target)


def versions(server: Server) -> dict[str, str]:
    """The versions installed in the server's environment."""
    code = (
        "import sys; from importlib.metadata import version\n"
        "for name in sys.argv[1:]: print(name, version(name))"
    )
    command = [str(server.python), "-c", code, *server.versions]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(line.split() for line in done.stdout.splitlines())
