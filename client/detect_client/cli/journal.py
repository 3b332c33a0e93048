"""What a folder run has finished so far: one JSON line a picture, so that it can be resumed.

A process that is killed leaves at most one torn line, the last; it is cut off, and its picture is
sent again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from .options import Stop

Row = dict[str, Any]
"""`file`, `bytes`, `modified` (ns), and either the service's answer or `error`."""


class Journal:
    """`with Journal(path, parameters, fresh) as journal`: `rows` by file name, and `add`."""

    def __init__(self, path: Path, parameters: dict[str, Any], fresh: bool) -> None:
        self._path = path
        self._parameters = parameters
        self.rows: dict[str, Row] = {}
        if fresh:
            path.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        self._file: TextIO = self._path.open("a+", encoding="utf-8")
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, row: Row) -> None:
        self.rows[row["file"]] = row
        self._write(row)

    def finished(self, file: str, stat: os.stat_result) -> bool:
        """Whether this version of the file has been answered. A refused picture is sent again."""
        row = self.rows.get(file)
        return row is not None and "error" not in row and _same(row, stat)

    def keep_only(self, files: Iterable[str]) -> None:
        """Forgets pictures that are no longer in the folder."""
        self.rows = {file: self.rows[file] for file in files if file in self.rows}

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Stop(f"{self._path} is in use by another run of this command") from error

    def _read(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        if len(whole) < len(text):
            self._file.truncate(len(whole.encode()))
        lines = whole.split("\n")[:-1]  # splitlines would split at U+2028, which a name may hold
        if not lines:
            self._write(self._parameters)
            return
        try:
            parameters, *rows = map(json.loads, lines)
            self.rows = {row["file"]: row for row in rows}
        except (ValueError, KeyError, TypeError) as error:
            raise Stop(
                f"{self._path} is not a journal of this command; --fresh replaces it"
            ) from error
        for name, value in self._parameters.items():
            if parameters.get(name) != value:
                raise Stop(
                    f"{self._path} belongs to a run with {name} {parameters.get(name)!r}, not"
                    f" {value!r}: give another --out, or --fresh to start again"
                )

    def _write(self, row: Row) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()


def stamp(stat: os.stat_result) -> Row:
    return {"bytes": stat.st_size, "modified": stat.st_mtime_ns}


def _same(row: Row, stat: os.stat_result) -> bool:
    return all(row.get(name) == value for name, value in stamp(stat).items())
