"""The event loop never stalls, whatever is sent: a 10 ms ticker inside the gateway.

DETECT_TEST_MUTATIONS is how many mutations; what was seen is printed (`pytest -rP` shows it).
"""

import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.callers.hostile import send
from tests.support.inputs import file_mutations
from tests.support.inputs.hostile import Hostile, hostile
from tests.support.processes import ticker
from tests.support.processes.whole_service import batching_flags, whole_service

MANY = int(os.environ.get("DETECT_TEST_MUTATIONS", "400"))
CALLERS = 4
LIMIT_S = 0.05
BATCHING = "max_batch_size { value: 8 } batch_timeout_micros { value: 2000 }"


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
        whole_service(
            tmp_path,
            small_repository,
            "small",
            *batching_flags(tmp_path, BATCHING),
            ticks=ticks,
            deadline_s=60,  # on a busy machine the largest pictures take longer than ten seconds
        ) as (gateway, _),
        ThreadPoolExecutor(CALLERS) as threads,
        ticker.control(beside),
    ):
        netloc = urlsplit(gateway.url).netloc
        statuses: Counter[int] = Counter()
        batch: list[Hostile] = []
        for request in hostile(MANY):
            batch.append(request)
            if len(batch) == 8 * CALLERS:  # not all at once: bombs are large
                statuses.update(one.status for one in threads.map(partial(send, netloc), batch))
                batch.clear()
        statuses.update(one.status for one in threads.map(partial(send, netloc), batch))
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
