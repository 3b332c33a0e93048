"""What a client's connection brings: how slow, how large and how ambiguous it may be.

A head that is refused is answered here; a body that fails is told to whoever reads it.
"""

import asyncio
from http import HTTPStatus
from itertools import chain
from types import SimpleNamespace

import httptools

from ..errors import MalformedBody
from ..lifecycle import PROBE_PATHS, Lifecycle
from ..metrics import Metrics
from ..settings import Settings
from . import framing
from .conversation import Conversation

MAX_HEAD_BYTES = 32 * 1024
MAX_PIPELINED = 64  # requests sent without waiting for an answer
PLACES_FOR_PROBES = 64  # beyond `max_connections`, so that a full gateway is seen to be alive
PROBES = {path.encode() for path in PROBE_PATHS}


class Refused(Exception):
    """Stops the parser."""


class Connection(Conversation):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._came_to_something = False
        self._fruitless = 0  # bytes in a row that ended no head and brought no body
        self._surplus = len(self.connections) - self.settings.max_connections
        self._arm()
        if self._surplus > PLACES_FOR_PROBES:
            self._refuse_for_surplus()
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._leaving.begun:
            self._leaving.discard(len(data))
            return
        self._unset_keepalive_if_required()
        self._silent = self._came_to_something = False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._refuse_or_fail(HTTPStatus.BAD_REQUEST, f"is not valid HTTP/1.1 ({error})")
        self._fruitless = 0 if self._came_to_something else self._fruitless + len(data)
        if self._fruitless > MAX_HEAD_BYTES and not self._deaf:
            fault = f"has more than {MAX_HEAD_BYTES} bytes around its content"
            self._refuse_or_fail(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, fault)
        self._arm()

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            # The parser stops before the body, which would be read as the next request.
            # An offer of another protocol may be ignored: the request is answered as it is.
            calls = {"on_body": self.on_body, "on_message_complete": self.on_message_complete}
            self.parser = httptools.HttpRequestParser(SimpleNamespace(**calls))
            self.parser.feed_data(framing.body_only(self.cycle.scope["headers"]))
            self.parser.feed_data(data[stop.args[0] :])

    # --- what the parser finds --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._deaf:
            raise Refused
        self._in_head = self._came_to_something = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        self._check_head(version)
        super().on_headers_complete()
        self.headers = []  # trailers go there, and nobody reads them
        self._disarm()
        self._in_head = False
        self._came_to_something = True
        self._keep_order(
            self.cycle.keep_alive
            and not self.lifecycle.draining
            and self._surplus <= 0
            and not self.parser.should_upgrade()
        )

    def _check_head(self, version: str) -> None:
        size = len(self.url) + sum(map(len, chain.from_iterable(self.headers)))
        size += len(": \r\n") * len(self.headers)
        if size > MAX_HEAD_BYTES:
            too_long = f"The head has {size} bytes; the limit is {MAX_HEAD_BYTES}."
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, too_long)
        elif fault := framing.fault(version, self.headers):
            self._refuse(HTTPStatus.BAD_REQUEST, fault)
        elif self._surplus > 0 and self.url.partition(b"?")[0] not in PROBES:
            self._refuse_for_surplus()
        elif len(self.pipeline) >= MAX_PIPELINED:
            most = f"More than {MAX_PIPELINED} requests wait on this connection"
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, f"{most}; read their answers first.", 1)
        if self._deaf:
            raise Refused

    def on_body(self, body: bytes) -> None:
        self._came_to_something = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._disarm()
        self._body_is_here()

    # --- what it is told --------------------------------------------------------------------------

    def _refuse_or_fail(self, status: HTTPStatus, fault: str) -> None:
        if self._body_is_due:
            self._fail(MalformedBody(f"The body {fault}."))
        else:
            self._refuse(status, f"The head {fault}; this port speaks HTTP/1.1, without TLS.")

    def _refuse_for_surplus(self) -> None:
        most = f"There are more than {self.settings.max_connections} connections"
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, f"{most}; try again later.", 1)


def protocol_factory(
    settings: Settings, metrics: Metrics, lifecycle: Lifecycle
) -> type[Connection]:
    """uvicorn takes a class and instantiates it for every connection."""
    shared = {"settings": settings, "metrics": metrics, "lifecycle": lifecycle}
    return type("BoundConnection", (Connection,), shared)
