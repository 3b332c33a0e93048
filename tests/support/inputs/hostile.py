"""Everything hostile that is sent in one request, in an order that mixes it."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.inputs import file_mutations, jpeg_mutations
from tests.support.inputs.bombs import bombs, json_bombs, largest
from tests.support.project import DATA

BOMBS_EVERY = 500  # mutations
OWN_SENDER_EVERY = 4  # one in so many is from an address of its own, which is not quarantined
DRAWN_EVERY = 7
JSON_PATH = "/v1/models/small:predict"
SHARED = "127.0.0.2"


class Hostile(NamedTuple):
    """A request, and the address it comes from."""

    kind: str
    path: str
    data: bytes
    sender: str = SHARED


def hostile(mutations: int | None) -> Iterator[Hostile]:
    """The corpus, if it is there, and so many mutations with all bombs after every 500; without
    end for None."""
    jpegs, files = jpeg_mutations.seeds(), file_mutations.seeds()
    for file in sorted((DATA / "jpeg-corpus").rglob("*")) if DATA else []:
        if file.is_file():
            yield Hostile("corpus", "/detect", file.read_bytes())
    for index in itertools.count() if mutations is None else range(mutations):
        jpeg = jpeg_mutations.mutation(jpegs, index).data if index % 2 else b""
        data = jpeg or file_mutations.mutation(files, index // 2)
        own = f"127.2.{index // 250 % 250}.{index % 250 + 1}"
        sender = SHARED if index % OWN_SENDER_EVERY else own
        path = "/detect" if index % DRAWN_EVERY else "/detect?format=image"
        yield Hostile("mutation", path, data, sender)
        if index % BOMBS_EVERY == BOMBS_EVERY // 2:
            yield from hand_made()


def hand_made() -> Iterator[Hostile]:
    for bomb in bombs().values():
        yield Hostile("bomb", "/detect", bomb)
    for bomb in json_bombs().values():
        yield Hostile("JSON bomb", JSON_PATH, bomb)
    yield Hostile("JSON bomb", JSON_PATH, b"{}".ljust(40 * 2**20))
    for picture in largest().values():
        yield Hostile("large picture", "/detect", picture)
        yield Hostile("large picture", "/detect?format=image", picture)
