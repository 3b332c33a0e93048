"""`python -m service.run`: starts model server and gateway on this machine, and stops both."""

import argparse
import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

from .core.logs.settings import SettingsError
from .core.threads import ThreadSettings, available_cores, thread_flags

DEFAULT = "yolov4-tiny"
DEMO = "demo"  # the bundled model
REPOSITORY = Path("model_repository")
PHOTO = "service/web/samples/astronaut.jpg"
PICTURES = {DEFAULT: PHOTO, "yolov4": PHOTO, DEMO: "yolov4/demo/pictures/shapes-1.jpg"}
READY_WITHIN_S = 300  # to read a large model, and to compile and warm it up
STOP_WITHIN_S = 40  # more than the gateway takes with default settings
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """One sentence: what went wrong and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m service.run",
        description="Start model server and gateway on this machine, until Ctrl-C.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--model",
        default=DEFAULT,
        help="model name, a directory of the repository; several are separated by commas, the"
        " default first",
    )
    add("--repository", default=REPOSITORY, type=Path, help="model repository directory")
    add("--port", default=8000, type=int, help="HTTP port")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as exits:
            serve(options.model.split(","), options.repository, options.port, exits)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _interrupt(*_: object) -> None:
    """The first signal stops the children one after the other, a second one kills both."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _kill)
    raise KeyboardInterrupt


def _kill(*_: object) -> None:
    for child in _children.values():
        child.kill()


def serve(models: Sequence[str], repository: Path, port: int, exits: ExitStack) -> NoReturn:
    """Raises KeyboardInterrupt when told to stop, and Failed if either process exits by itself."""
    bases = {model: check_model(model, repository) for model in models}
    model = models[0]
    host = os.environ.get("DETECT_HOST", "127.0.0.1")
    check_port(host, port)
    try:
        threads = thread_flags(ThreadSettings.load().threads, available_cores())
    except SettingsError as error:
        raise Failed(str(error)) from error
    # A socket in a directory of this user: a model server obeys everyone who can connect, and its
    # TCP port would be open on every interface.
    folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="detect-"))
    backend = f"unix:{folder}/model-server"
    server = [
        *(sys.executable, "-m", "service.model_server", "--port=0"),
        f"--grpc_socket_path={backend.removeprefix('unix:')}",
        f"--model_config_file={write_config(bases, Path(folder))}",
        *threads,
    ]
    gateway = [sys.executable, "-m", "service"]
    environment = {"DETECT_LOG_FORMAT": "text", "TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    exits.enter_context(running(server, environment))
    print(f"Loading {', '.join(map(str, bases.values()))} ...", flush=True)
    wait_for_socket(Path(folder) / "model-server")
    environment |= {
        "DETECT_BACKEND": backend,
        "DETECT_MODELS": ",".join(bases),
        "DETECT_PORT": str(port),
    }
    exits.enter_context(running(gateway, environment))
    url = f"http://{name_for_url(host)}:{port}"
    wait_until_ready(url)
    picture = PICTURES.get(model, "picture.jpg")
    print(
        f"\nReady. In a browser: {url}/\n"
        f"Detect objects in a picture, as JSON or drawn on it:\n"
        f"  curl -F image=@{picture} {shlex.quote(f'{url}/detect')}\n"
        f"  curl -F image=@{picture} '{url}/detect?format=image' -o detections.jpg\n"
        f"API: {url}/docs  metrics: {url}/metrics  stop: Ctrl-C",
        flush=True,
    )
    if model == DEMO:
        print(
            "The demo model detects twelve drawn shapes. COCO's 80 classes: "
            "make run MODEL=yolov4-tiny",
            flush=True,
        )
    while True:
        watch()
        time.sleep(0.2)


_children: dict[str, subprocess.Popen[bytes]] = {}


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    """A child that cannot outlive the block, nor this process, however that ends."""
    # A session of its own: the terminal's Ctrl-C reaches only this process, which stops the gateway
    # before the model server, so that requests in progress are still answered.
    child = subprocess.Popen(
        command, env=environment, start_new_session=True, preexec_fn=_end_with_parent
    )
    _children[command[2]] = child
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        del _children[command[2]]


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def watch() -> None:
    for name, child in _children.items():
        if child.poll() is not None:
            raise Failed(f"{name} exited with code {child.returncode}; see its last log lines.")


def check_model(model: str, repository: Path) -> Path:
    base = repository.resolve() / model
    if base.is_dir() and any(child.name.isdigit() for child in base.iterdir()):
        return base
    names = sorted(p.name for p in repository.glob("*") if p.is_dir())
    there = f"Models: {', '.join(names)}." if names else "There are no models yet."
    raise Failed(
        f"{base} contains no model version. {there} To export one from Darknet files:\n"
        f"  make model NAME={model} CFG=net.cfg WEIGHTS=net.weights NAMES=net.names"
    )


def write_config(bases: Mapping[str, Path], folder: Path) -> Path:
    """A ModelServerConfig in text format; JSON's strings are also protobuf's. All versions are
    loaded for a canary or shadow traffic, otherwise the newest."""
    path = folder / "models.config"
    several = os.environ.get("DETECT_CANARY") or os.environ.get("DETECT_SHADOW")
    policy = " model_version_policy { all {} }" if several else ""
    models = (
        f"config {{ name: {json.dumps(name)} base_path: {json.dumps(str(base))}"
        f' model_platform: "tensorflow"{policy} }}'
        for name, base in bases.items()
    )
    path.write_text("model_config_list {\n" + "\n".join(models) + "\n}\n")
    return path


def check_port(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise Failed(f"Port {port} is out of range; use 1 to 65535.")
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Failed(f"DETECT_HOST={host} is no address of this machine ({error}).") from error
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            another = port + 1 if port < 65535 else port - 1
            raise Failed(
                f"Cannot listen on port {port} of {host} ({error.strerror});"
                f" try another one: make run PORT={another}"
            ) from error


def name_for_url(host: str) -> str:
    """The host to connect to, if the gateway listens on `host`."""
    if host in ("127.0.0.1", "0.0.0.0"):
        return "localhost"
    if ":" in host:
        return "[::1]" if host == "::" else f"[{host}]"
    return host


def wait_for_socket(path: Path) -> None:
    """Until the model server listens. A gateway started before would log that it is unreachable."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not path.is_socket():
        watch()
        if time.monotonic() > deadline:
            raise Failed(f"The model server does not listen after {READY_WITHIN_S} s.")
        time.sleep(0.05)


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    reason = "no response"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # for this machine
    while time.monotonic() < deadline:
        watch()
        try:
            with opener.open(f"{url}/readyz", timeout=2):
                return
        except urllib.error.HTTPError as error:
            reason = error.read().decode()
        except OSError as error:
            reason = str(error)
        time.sleep(0.2)
    raise Failed(f"Not ready after {READY_WITHIN_S} s: {reason}")


if __name__ == "__main__":
    sys.exit(main())
