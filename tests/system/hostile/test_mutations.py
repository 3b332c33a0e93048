"""Thousands of damaged pictures: each has the answer it should have, and nothing dies of them."""

import functools
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.callers.caller import Caller, resident_bytes
from tests.support.inputs import jpeg_mutations
from tests.support.inputs.jpeg_mutations import KINDS, joined, mutation, parsed
from tests.support.oracles.two_decoders import (
    Size,
    header_status,
    pillow_size,
    sent_as_it_is,
    tensorflow_size,
)
from tests.support.processes.whole_service import whole_service

CALLERS = 4
MIB = 2**20
MANY = int(os.environ.get("DETECT_TEST_MUTATIONS", "4000"))


@pytest.fixture(scope="module")
def pictures() -> list[bytes]:
    return jpeg_mutations.seeds()


def test_a_picture_is_its_segments(pictures: list[bytes]) -> None:
    for picture in pictures:
        assert joined(parsed(picture)) == picture
        assert pillow_size(picture)
        assert tensorflow_size(picture)


def test_an_index_is_always_the_same_mutation_and_nearly_all_change_something(
    pictures: list[bytes],
) -> None:
    mutations = [mutation(pictures, index) for index in range(900)]
    assert mutations == [mutation(pictures, index) for index in range(900)]
    assert {found.kind for found in mutations} == set(KINDS)
    assert sum(found.data in pictures for found in mutations) < 45
    assert len({found.data for found in mutations}) > 800


@dataclass(frozen=True)
class Verdict:
    """Of one mutation. `header`: the status for its header alone, None where that is right;
    `shown`: the size the gateway answered, None where it refused."""

    index: int
    kind: str
    status: int
    header: int | None
    as_it_is: bool
    shown: Size | None
    pillow: Size | None
    tensorflow: Size | None

    @property
    def right(self) -> bool:
        if self.header:
            return self.status == self.header
        if not (self.pillow or (self.as_it_is and self.tensorflow)):
            return self.status == 400
        stored = self.tensorflow
        sizes = (self.pillow, stored, stored and stored[::-1])  # EXIF may turn it
        return self.status == 200 and self.shown in sizes

    @property
    def column(self) -> str:
        if self.pillow and self.tensorflow:
            alike = self.pillow in (self.tensorflow, self.tensorflow[::-1])
            return "both take it" if alike else "both, other sizes"
        if self.pillow or self.tensorflow:
            return "only Pillow" if self.pillow else "only TensorFlow"
        return "neither"


COLUMNS = ("both take it", "both, other sizes", "only Pillow", "only TensorFlow", "neither")


def table(verdicts: list[Verdict]) -> str:
    """By kind of mutation, as Markdown."""
    statuses = sorted({v.status for v in verdicts})
    lines = [
        "| mutation | " + " | ".join([*COLUMNS, *map(str, statuses)]) + " |",
        "|---|" + "---|" * (len(COLUMNS) + len(statuses)),
    ]
    for kind in (*KINDS, "all"):
        rows = [v for v in verdicts if kind in (v.kind, "all")]
        columns, codes = Counter(v.column for v in rows), Counter(v.status for v in rows)
        counts = [columns[column] for column in COLUMNS] + [codes[status] for status in statuses]
        lines.append(f"| {kind} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def judged(pictures: list[bytes], url: str, index: int) -> Verdict:
    """From a new sender: pictures of a quarantined one are decoded by Pillow first."""
    found = mutation(pictures, index)
    with closing(Caller(url, sender=index)) as caller:
        status, answer = caller.detect(found.data)
    size = answer.get("image")
    return Verdict(
        index,
        found.kind,
        status,
        header_status(found.data),
        sent_as_it_is(found.data),
        (size["width"], size["height"]) if size else None,
        pillow_size(found.data),
        tensorflow_size(found.data),
    )


@pytest.mark.parametrize("count", [300, pytest.param(MANY, marks=pytest.mark.slow)])
def test_every_mutation_is_answered_and_both_processes_outlive_them(
    count: int,
    pictures: list[bytes],
    small_repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        whole_service(tmp_path, small_repository, "small") as (gateway, server),
        ThreadPoolExecutor(CALLERS) as threads,
    ):
        processes = {"gateway": gateway.process, "model server": server.process}
        judge = functools.partial(judged, pictures, gateway.url)
        warm = count // 10
        verdicts = list(threads.map(judge, range(warm)))
        before = {name: resident_bytes(process.pid) for name, process in processes.items()}
        verdicts += threads.map(judge, range(warm, count))
        for name, process in processes.items():
            assert process.poll() is None, name
            after = resident_bytes(process.pid)
            assert after < before[name] * 1.25 + 50 * MIB, name
        with closing(Caller(gateway.url)) as caller:
            assert caller.detect(pictures[0])[0] == 200

    with capsys.disabled():
        sys.stdout.write(f"\n{count} mutations\n{table(verdicts)}\n")
    assert max(v.status for v in verdicts) < 500
    assert [v for v in verdicts if not v.right] == []
