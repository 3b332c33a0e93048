"""Answers by picture in a JSON Lines file, from which an interrupted run resumes."""

import fcntl
import json
from pathlib import Path
from types import TracebackType
from typing import Any

from .. import CommandError


class Answers:
    """`by_picture`: image id -> {"detections": [...]} or {"error": {...}}; the last one
    counts. The file's first line describes the run. An incomplete last line is ignored.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.about: dict[str, Any] = {}
        self.by_picture: dict[int, dict[str, Any]] = {}
        self._complete = 0  # bytes of complete lines
        if resume and path.exists():
            self._read()

    def _read(self) -> None:
        number = 0
        try:
            with self.path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    if not line.endswith(b"\n"):
                        break
                    entry = json.loads(line)
                    if number == 1:
                        self.about = dict(entry)
                    else:
                        self.by_picture[entry.pop("image_id")] = entry
                    self._complete += len(line)
        except OSError as error:
            raise CommandError(f"cannot read {self.path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CommandError(
                f"{self.path}, line {number}, is not an answer; --resume no starts over"
            ) from error

    def start(self, about: dict[str, Any], **notes: Any) -> None:
        """Open the file for `add`. CommandError if it holds the answers of another run.

        `about` must be the same for every run that adds to the file; `notes` are the first run's.
        """
        for key, value in about.items():
            if self.about and self.about.get(key) != value:
                raise CommandError(
                    f"{self.path} has answers for {key} {self.about.get(key)!r}, and this run is"
                    f" for {value!r}: choose another --out, or --resume no to start over"
                )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.truncate(self._complete)
            if not self.about:
                self.about = {**about, **notes}
                self._append(self.about)
        except BlockingIOError as error:
            raise CommandError(
                f"another run is writing {self.path}: choose another --out"
            ) from error
        except OSError as error:
            raise CommandError(f"cannot write {self.path}: {error.strerror}") from error

    def add(self, image_id: int, entry: dict[str, Any]) -> None:
        self.by_picture[image_id] = entry
        try:
            self._append({"image_id": image_id, **entry})
        except OSError as error:
            raise CommandError(f"cannot write {self.path}: {error.strerror}") from error

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()

    def __enter__(self) -> "Answers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if hasattr(self, "_file"):
            self._file.close()
