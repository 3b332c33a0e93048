"""How far a run is, on stderr: one line rewritten on a terminal, a line now and then in a log."""

import sys
import time
from typing import TextIO

BAR = 24  # characters
REWRITE_S = 0.1
LOG_S = 15


class Progress:
    """`with Progress(total, before) as progress: progress.step()`, once for each of the rest."""

    def __init__(self, total: int, before: int = 0, stream: TextIO | None = None) -> None:
        self._total = total
        self._before = before
        self._done = before
        self._errors = 0
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._started = self._shown_at = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._show(time.monotonic())
        if self._terminal:
            print(file=self._stream)

    def step(self, error: bool = False) -> None:
        self._done += 1
        self._errors += error
        now = time.monotonic()
        if now - self._shown_at >= (REWRITE_S if self._terminal else LOG_S):
            self._show(now)

    def _show(self, now: float) -> None:
        self._shown_at = now
        line = self.line(now - self._started)
        print(
            f"\r{line}\x1b[K" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=self._stream,
            flush=True,
        )

    def line(self, seconds: float) -> str:
        """`[====....] 1250 of 5000, 31.2/s, 2 min left, 1 error`, `seconds` after the start."""
        filled = BAR * self._done // max(self._total, 1)
        rate = (self._done - self._before) / seconds if seconds > 0 else 0.0
        parts = [f"[{'=' * filled}{'.' * (BAR - filled)}] {self._done} of {self._total}"]
        parts.append(f"{rate:.1f}/s")
        left = self._total - self._done
        if left and rate:
            left_s = left / rate
            parts.append(f"{left_s / 60:.0f} min left" if left_s > 90 else f"{left_s:.0f} s left")
        if self._errors:
            parts.append(f"{self._errors} error{'s' * (self._errors > 1)}")
        return ", ".join(parts)
