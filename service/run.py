"""`python -m service.run`: model server and gateway on one machine, up and down together."""

import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

DEFAULT = "yolov4-tiny"
DEMO = "demo"  # the bundled model
PHOTO = "docs/assets/photos/coffee.jpg"
PICTURES = {DEFAULT: PHOTO, "yolov4": PHOTO, DEMO: "yolov4/demo/pictures/shapes-1.jpg"}
READY_WITHIN_S = 300  # a large model is read, warmed up and compiled for this CPU
STOP_WITHIN_S = 40  # the gateway's own bound, and a little
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """One sentence: what went wrong and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m service.run", description=__doc__)
    parser.add_argument("--model", default=DEFAULT, help="a folder of the repository")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--port", type=int, default=8000, help="the gateway's")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as exits:
            serve(options.model, options.repository, options.port, exits)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def serve(model: str, repository: Path, port: int, exits: ExitStack) -> NoReturn:
    """Until told to stop, KeyboardInterrupt, or until either process ends by itself, Failed."""
    base = check_model(model, repository)
    host = os.environ.get("DETECT_HOST", "127.0.0.1")
    check_port(host, port)
    # A socket in a folder of this user's own, for a model server takes orders from whoever reaches
    # it; its TCP port would be open on every interface.
    folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="detect-"))
    backend = f"unix:{folder}/model-server"
    server = [
        *(sys.executable, "-m", "service.model_server", "--port=0"),
        f"--grpc_socket_path={backend.removeprefix('unix:')}",
        f"--model_name={model}",
        f"--model_base_path={base}",
    ]
    gateway = [sys.executable, "-m", "service"]
    environment = {
        **os.environ,
        "DETECT_BACKEND": backend,
        "DETECT_MODEL_NAME": model,
        "DETECT_PORT": str(port),
    }
    print(f"Loading {base} ...", flush=True)
    exits.enter_context(running(server))
    exits.enter_context(running(gateway, environment))
    url = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{port}"
    wait_until_ready(url)
    picture = PICTURES.get(model, "picture.jpg")
    print(
        f"Ready. Detections of a picture, as JSON and drawn:\n"
        f"  curl -F image=@{picture} {url}/detect\n"
        f"  curl -F image=@{picture} '{url}/detect?format=image' -o detections.jpg\n"
        f"API: {url}/docs  metrics: {url}/metrics  stop: Ctrl-C",
        flush=True,
    )
    if model == DEMO:
        print(
            "This small model detects twelve drawn shapes. COCO's 80 classes: "
            "make run MODEL=yolov4-tiny",
            flush=True,
        )
    while True:
        watch()
        time.sleep(0.2)


_children: dict[str, subprocess.Popen[bytes]] = {}


@contextmanager
def running(command: list[str], environment: dict[str, str] | None = None) -> Iterator[None]:
    """A child that cannot outlive the block, nor this process, however that ends."""
    # A session of its own: the terminal's Ctrl-C reaches only this process, which ends the gateway
    # before the model server, so that requests under way are still answered.
    child = subprocess.Popen(
        command, env=environment, start_new_session=True, preexec_fn=_end_with_parent
    )
    _children[command[2]] = child
    try:
        yield
    finally:
        del _children[command[2]]
        child.terminate()
        try:
            child.wait(STOP_WITHIN_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):  # asked twice: now
            child.kill()
            child.wait()


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def watch() -> None:
    for name, child in _children.items():
        if child.poll() is not None:
            raise Failed(f"{name} ended with exit code {child.returncode}; its last lines say why.")


def check_model(model: str, repository: Path) -> Path:
    base = repository.resolve() / model
    if base.is_dir() and any(child.name.isdigit() for child in base.iterdir()):
        return base
    names = sorted(p.name for p in repository.glob("*") if p.is_dir())
    there = f"There are: {', '.join(names)}." if names else "There is no model yet."
    raise Failed(
        f"No version of a model in {base}. {there} Build it from Darknet's files with\n"
        f"  make model NAME={model} CFG=net.cfg WEIGHTS=net.weights NAMES=net.names"
    )


def check_port(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise Failed(f"Port {port} is none: 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Failed(
                f"Port {port} of {host} cannot be used ({error.strerror}): make run PORT={port + 1}"
            ) from error


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    reason = "no answer"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is this machine
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
