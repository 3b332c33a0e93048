"""Logging: one line per event on standard error, as JSON or as text."""

import atexit
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache

from pydantic_core import to_json

from .writer import LogWriter

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
STANDARD_ERROR = 2
CLOSED = -1

# Added to what libraries log while a request is handled, such as a traceback.
request_id: ContextVar[str] = ContextVar("request_id", default="")
# The fields of OpenTelemetry's trace context, in a traced request: in its own line, and added too.
trace_context: ContextVar[Mapping[str, str]] = ContextVar("trace_context", default={})  # noqa: B039


def _standard_error() -> int:
    if sys.stderr is not None:
        return STANDARD_ERROR
    # It is closed. Its number must not become that of a connection: libraries also write to it.
    while (null := os.open(os.devnull, os.O_RDWR)) < STANDARD_ERROR:
        pass  # standard input or output were closed too
    if null > STANDARD_ERROR:
        os.close(null)
    return CLOSED


_writer = LogWriter(_standard_error())
_threshold = logging.INFO
_as_text = False


def configure(level: str = "info", format: str = "json") -> None:
    """Send everything that this process and its libraries log to standard error.

    `level` is one of LEVELS, `format` is `json` or `text`.
    """
    global _threshold, _as_text
    _threshold, _as_text = LEVELS[level], format == "text"
    logging.basicConfig(level=_threshold, handlers=[Handler(_threshold)], force=True)
    # uvicorn's start-up messages repeat our own events.
    logging.getLogger("uvicorn.error").setLevel(max(_threshold, logging.WARNING))
    logging.captureWarnings(True)
    # Pillow warns about unusual pictures; the request's own line is enough.
    warnings.filterwarnings("ignore", module="PIL")


def event(name: str, level: int = logging.INFO, **fields: object) -> None:
    """Log one line. It costs 3 µs, where `logging` takes 13."""
    if level >= _threshold:
        _writer.write(_line(time.time(), level, name, fields))


def dropped() -> int:
    """Lines that could not be written since the process started."""
    return _writer.dropped


def flush() -> bool:
    """Wait up to a second until every line so far is written."""
    return _writer.flush()


atexit.register(flush)


class Handler(logging.Handler):
    """Writes the records of libraries in the same format."""

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {}
        if request := request_id.get():
            fields |= {"request_id": request, **trace_context.get()}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        try:
            message = record.getMessage().rstrip()
        except (TypeError, ValueError):  # the library's arguments do not fit its format
            message = str(record.msg)
        _writer.write(_line(record.created, record.levelno, message, fields))


def _line(at: float, level: int, name: str, fields: dict[str, object]) -> bytes:
    moment = f"{_second(int(at))}.{int(at % 1 * 1000):03d}Z"
    level_name = logging.getLevelName(level).lower()
    if _as_text:
        return _text(moment, level_name, name, fields)
    content = {"time": moment, "level": level_name, "event": name, **fields}
    try:
        line = to_json(content, serialize_unknown=True)
        if not line.isascii():  # callers' text may control a terminal, or end a line in U+2028
            line = to_json(content, serialize_unknown=True, ensure_ascii=True)
        return line + b"\n"
    except ValueError:  # text that is not Unicode, such as a file name
        return json.dumps(content, default=repr).encode() + b"\n"


def _text(moment: str, level_name: str, name: str, fields: dict[str, object]) -> bytes:
    """`TIME LEVEL event key=value ...`, and a traceback on indented lines of its own."""
    traceback = str(fields.pop("traceback", ""))
    words = [moment, f"{level_name.upper():7}", name]
    words += [f"{key}={_value(value)}" for key, value in fields.items() if value is not None]
    text = "\n".join([" ".join(words), traceback] if traceback else [" ".join(words)])
    return _printable(text).replace("\n", "\n    ").encode() + b"\n"


def _printable(text: str) -> str:
    """Control and direction characters are escaped; line breaks stay."""
    lines = text.split("\n")
    if all(map(str.isprintable, lines)):
        return text
    escaped = (c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    return "".join(escaped)


def _value(value: object) -> str:
    """Quoted, as in JSON, where it would otherwise be read as several words."""
    text = str(value)
    plain = text.isprintable() and not set(text) & set(' "=') and text != ""
    return text if plain else json.dumps(text, ensure_ascii=False)


@lru_cache(1)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
