"""Ctrl-C and SIGTERM end a run, not the process: what was measured is written."""

import asyncio
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(stop: asyncio.Event) -> Generator[None, None, None]:
    """The first signal sets `stop`; the second cancels the task this was entered in."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def told() -> None:
        if stop.is_set() and task:
            task.cancel()
        elif not stop.is_set():
            stop.set()
            again = "ending when what is under way is answered; once more ends now"
            print(f"interrupted: {again}", file=sys.stderr)

    for number in SIGNALS:
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
