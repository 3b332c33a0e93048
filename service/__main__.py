"""`python -m service`: the gateway's process. Settings come from the environment."""

import argparse
import ctypes
import logging
import os
import resource
import socket
import sys
import textwrap
import time
from collections.abc import Sequence
from types import FrameType

import uvicorn

from . import __version__
from .api.app import create_app
from .core import logs, tracing
from .core.lifecycle import Lifecycle
from .core.logs.settings import PREFIX, SettingsError
from .core.metrics import Metrics
from .server.connection import Connection, protocol_factory
from .settings import MIB, Settings

OTHER_DESCRIPTORS = 200  # of probes beyond the limit, of gRPC, of the process
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h


class Server(uvicorn.Server):
    """On SIGTERM or Ctrl-C, `/readyz` returns 503 for `drain_s`; then it stops listening, completes
    the requests in progress and exits. On a second signal it exits at once."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_s: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        self._stop_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._lifecycle.draining:
            logs.event("stopped at once, on a second signal", logging.WARNING, signal=sig)
            logs.flush()
            os._exit(128 + sig)  # without waiting for requests, or for threads that decode pictures
        self._lifecycle.draining = True
        for connection in list(self.server_state.connections):
            assert isinstance(connection, Connection)
            connection.answer_and_close()
        self._stop_at = time.monotonic() + self._drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        logs.event("listening", host=host, port=port)

    async def on_tick(self, counter: int) -> bool:
        if time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)


def tune_malloc() -> None:
    """How glibc keeps and shares what is freed.

    Uploads come and go: it would give their pages back and ask for them again each time. At most
    32 MiB stay; it saves about 5 % of a request's CPU (`make bench-gateway`). One heap for all
    threads, because in one for each, what picture threads leave behind grows for hours.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc; musl has none, and does not need it
        libc.mallopt(M_MMAP_THRESHOLD, 4 * MIB)
        libc.mallopt(M_TRIM_THRESHOLD, 32 * MIB)
        libc.mallopt(M_ARENA_MAX, 1)


def allow_many_descriptors() -> int:
    """A connection takes one, and the soft limit is often 1024 for the sake of select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def help_on_settings() -> str:
    """Each setting's variable, default and description, for `--help`."""
    paragraphs = []
    for name, field in Settings.model_fields.items():
        default = "unset" if field.default is None else field.default
        text = textwrap.fill(str(field.description).replace("`", ""), 90)
        paragraphs.append(f"{PREFIX}{name.upper()} ({default})\n" + textwrap.indent(text, "    "))
    return "settings, with their defaults:\n" + textwrap.indent("\n".join(paragraphs), "  ")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve object detection over HTTP. Settings are environment variables.",
        epilog=help_on_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"yolov4-serving {__version__}")
    parser.parse_args(arguments)
    tune_malloc()
    descriptors = allow_many_descriptors()
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, settings.log_format)
        traces = tracing.start() if settings.tracing else None
        metrics = Metrics()
        lifecycle = Lifecycle()
        app = create_app(settings, metrics, lifecycle)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    logs.event("settings", **settings.model_dump())
    for name in Settings.unknown():
        logs.event("unknown setting, ignored", logging.WARNING, variable=name)
    if descriptors < settings.max_connections + OTHER_DESCRIPTORS:
        logs.event("too few descriptors for max_connections", logging.WARNING, limit=descriptors)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=protocol_factory(settings, metrics, lifecycle),
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    Server(config, lifecycle, settings.drain_s).run()
    if traces is not None:
        traces.stop()
    logs.event("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
