"""Several callers at the same time, in threads: answers as they come."""

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from queue import Empty, SimpleQueue

from .caller import Answer, Caller, Refused
from .coco import Picture

Outcome = tuple[Picture, Answer | Refused]


def ask(
    pictures: Sequence[Picture], callers: int, caller: Callable[[threading.Event], Caller]
) -> Generator[Outcome, None, None]:
    """Every picture with what the service made of it, in the order of the answers.

    `caller` makes one thread's connection; the event it gets ends its waiting. Raises what stopped
    any of them, after the requests under way.
    """
    stop = threading.Event()
    todo: SimpleQueue[Picture] = SimpleQueue()
    for picture in pictures:
        todo.put(picture)
    done: SimpleQueue[Outcome | Exception] = SimpleQueue()

    def work() -> None:
        try:
            with closing(caller(stop)) as connection:
                while not stop.is_set():
                    picture = todo.get_nowait()
                    try:
                        done.put((picture, connection.detect(picture.read())))
                    except Refused as refusal:
                        done.put((picture, refusal))
        except Empty:
            return
        except Exception as error:  # raised again where the answers are waited for
            done.put(error)

    # Daemons, so that a second Ctrl-C need not wait for a service that hangs.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        for _ in pictures:
            outcome = done.get()
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome
    finally:
        stop.set()
        for thread in threads:
            thread.join()
