"""The event loop never stalls, whatever is sent: a 10 ms ticker inside the gateway.

DETECT_TEST_MUTATIONS is how many mutations; what was seen is printed (`pytest -rP` shows it).
"""

import http.client
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support.inputs import file_mutations, jpeg_mutations
from tests.support.inputs.bombs import bombs, json_bombs
from tests.support.inputs.pictures import picture
from tests.support.processes import ticker
from tests.support.processes.whole_service import whole_service
from tests.support.project import DATA

MANY = int(os.environ.get("DETECT_TEST_MUTATIONS", "400"))
BOMBS_EVERY = 500  # mutations
CALLERS = 4
SHARED_SENDER = 4  # one in so many is from an address of its own, which is not quarantined
LIMIT_S = 0.05
JSON_PATH = "/v1/models/small:predict"


class Sent(NamedTuple):
    path: str
    data: bytes
    sender: str


def everything() -> Iterator[Sent]:
    jpegs, files = jpeg_mutations.seeds(), file_mutations.seeds()
    hand_made = [("/detect", bomb) for bomb in bombs().values()]
    hand_made += [(JSON_PATH, bomb) for bomb in json_bombs().values()]
    hand_made += [("/detect?format=image", picture(8000, 6000, orientation=6))]
    hand_made += [("/detect", picture(4000, 4000, "WEBP", orientation=6))]
    corpus = sorted((DATA / "jpeg-corpus").rglob("*")) if DATA else []
    for path in corpus:
        if path.is_file():
            yield Sent("/detect", path.read_bytes(), "127.0.0.1")
    for index in range(MANY):
        jpeg = index % 2
        data = jpeg_mutations.mutation(jpegs, index).data if jpeg else b""
        data = data or file_mutations.mutation(files, index // 2)
        own = index % SHARED_SENDER == 0
        sender = f"127.2.{index // 250 % 250}.{index % 250 + 1}" if own else "127.0.0.1"
        yield Sent("/detect?format=image" if index % 7 == 0 else "/detect", data, sender)
        if index % BOMBS_EVERY == 0:
            for url, bomb in hand_made:
                yield Sent(url, bomb, "127.0.0.1")


def send(netloc: str, sent: Sent) -> int:
    with closing(
        http.client.HTTPConnection(netloc, timeout=120, source_address=(sent.sender, 0))
    ) as connection:
        connection.request("POST", sent.path, sent.data, {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        response.read()
        return response.status


def test_a_mutation_is_always_the_same_and_an_intact_file_is_its_chunks() -> None:
    files = file_mutations.seeds()
    for file in files:
        png = file.startswith(file_mutations.PNG)
        assert file_mutations.joined(file_mutations.parsed(file), png) == file
    mutations = [file_mutations.mutation(files, index) for index in range(300)]
    assert mutations == [file_mutations.mutation(files, index) for index in range(300)]
    assert len(set(mutations)) > 200


@pytest.mark.slow
def test_the_loop_never_stalls_whatever_is_sent(small_repository: Path, tmp_path: Path) -> None:
    ticks, beside = tmp_path / "ticks", tmp_path / "beside"
    with (
        whole_service(tmp_path, small_repository, "small", ticks=ticks) as (gateway, _),
        ThreadPoolExecutor(CALLERS) as threads,
        ticker.control(beside),
    ):
        netloc = urlsplit(gateway.url).netloc
        statuses: Counter[int] = Counter()
        batch: list[Sent] = []
        for sent in everything():
            batch.append(sent)
            if len(batch) == 8 * CALLERS:  # not all at once: bombs are large
                statuses.update(threads.map(lambda one: send(netloc, one), batch))
                batch.clear()
        statuses.update(threads.map(lambda one: send(netloc, one), batch))
        assert gateway.process.poll() is None
    stalls, control = ticker.stalls(ticks), ticker.stalls(beside)
    sys.stdout.write(
        f"{statuses.total()} requests, {dict(statuses)}, {len(stalls)} ticks\n"
        f"P99 {1000 * stalls[len(stalls) * 99 // 100]:.1f} ms,"
        f" P99.9 {1000 * ticker.p999(stalls):.1f} ms (of an idle process"
        f" {1000 * ticker.p999(control):.1f} ms), longest {1000 * stalls[-1]:.0f} ms\n"
    )
    assert {200, 400} <= set(statuses)
    assert max(statuses) < 500
    assert ticker.p999(stalls) < LIMIT_S + ticker.p999(control)
