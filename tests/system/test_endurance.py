"""Good and bad pictures for minutes: nothing grows, nothing slows down, every count is right.

DETECT_TEST_MINUTES is how long; 2 where it is not set, and the longer the smaller a leak it finds.
What was seen is printed (`pytest -rP` shows it).
"""

import io
import itertools
import os
import statistics
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from tests.support.callers.caller import Caller, descriptors, resident_bytes
from tests.support.inputs.pictures import header_only, picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.processes.model_server_process import Server
from tests.support.processes.whole_service import batching_flags, whole_service

MINUTES = float(os.environ.get("DETECT_TEST_MINUTES", "2"))
CALLERS = 4
PAUSE_S = 0.2  # of each caller; what is looked for takes time, not load
SAMPLE_S = 0.5
FIFTHS = 5
BATCHING = "max_batch_size { value: 8 } batch_timeout_micros { value: 2000 }"
MIB = 2**20


def load() -> list[tuple[bytes, int]]:
    """Pictures and the status each deserves."""
    whole = picture(640, 480, quality=95)
    gif = io.BytesIO()
    Image.new("P", (16, 16)).save(gif, "GIF")
    return [
        (picture(640, 480), 200),
        (whole[: len(whole) // 2], 400),
        (picture(320, 240, progressive=True), 200),
        (picture(320, 240, orientation=6), 200),
        (b"no picture", 400),
        (picture(200, 300, "PNG"), 200),
        (whole.replace(b"\xff\xdb", b"\xff\xfe"), 400),  # without quantisation tables
        (picture(64, 48, "WEBP"), 200),
        (gif.getvalue(), 415),
        (header_only(20_000, 20_000), 413),
        (b"", 400),
    ]


@dataclass
class Seen:
    """By all callers. `latencies`: (when, how long), in seconds from the start."""

    started: float = field(default_factory=time.monotonic)
    codes: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[int, int]] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    resident: dict[str, list[int]] = field(default_factory=dict)
    descriptors: dict[str, list[int]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, caller: Caller, data: bytes, deserved: int) -> None:
        asked = time.monotonic()
        status, answer = caller.detect(data)
        answered = time.monotonic()
        with self.lock:
            self.latencies.append((asked - self.started, answered - asked))
            self.codes[status] += 1
            if status != 200:
                self.reasons[answer["type"].removeprefix("urn:problem:")] += 1
            if status != deserved:
                self.wrong.append((deserved, status))

    def sample(self, name: str, pid: int) -> None:
        self.resident.setdefault(name, []).append(resident_bytes(pid))
        self.descriptors.setdefault(name, []).append(descriptors(pid))

    def p99(self, fifth: int, seconds: float) -> float:
        """Of requests asked in that fifth of the run, 0 to 4."""
        some = [took for when, took in self.latencies if int(when / seconds * FIFTHS) == fifth]
        assert len(some) >= 100, "too few to speak of a 99th percentile; let it run longer"
        return statistics.quantiles(some, n=100)[98]


def keep_asking(seen: Seen, url: str, first: int, stop: threading.Event) -> None:
    pictures = load()
    with closing(Caller(url)) as caller:
        for number in itertools.count(first):
            if stop.wait(PAUSE_S):
                return
            seen.ask(caller, *pictures[number % len(pictures)])


def run(seen: Seen, gateway: GatewayProcess, server: Server, seconds: float) -> None:
    stop = threading.Event()
    callers = [
        threading.Thread(target=keep_asking, args=(seen, gateway.url, 3 * number, stop))
        for number in range(CALLERS)
    ]
    seen.started = time.monotonic()
    for thread in callers:
        thread.start()
    while time.monotonic() < seen.started + seconds:
        seen.sample("gateway", gateway.process.pid)
        seen.sample("model server", server.process.pid)
        time.sleep(SAMPLE_S)
    stop.set()
    for thread in callers:
        thread.join()


def medians(samples: list[int]) -> tuple[float, float]:
    """Of the second fifth, that after warming up, and of the last."""
    fifth = len(samples) // FIFTHS
    return statistics.median(samples[fifth : 2 * fifth]), statistics.median(samples[-fifth:])


@pytest.mark.slow
def test_nothing_grows_and_every_request_is_counted(small_repository: Path, tmp_path: Path) -> None:
    seconds, seen = MINUTES * 60, Seen()
    flags = batching_flags(tmp_path, BATCHING)
    with whole_service(tmp_path, small_repository, "small", *flags) as (gateway, server):
        run(seen, gateway, server, seconds)
        assert gateway.process.poll() is None
        assert server.process.poll() is None
        for code, count in seen.codes.items():
            sample = f'detect_requests_total{{code="{code}",route="/detect"}}'
            assert gateway.metric(sample) == count, sample
        for reason, count in seen.reasons.items():
            sample = f'detect_rejected_total{{reason="{reason}"}}'
            assert gateway.metric(sample) == count, sample

    say = sys.stdout.write
    say(f"{MINUTES:g} minutes: {sum(seen.codes.values())} requests, {dict(seen.codes)}\n")
    assert seen.wrong == []
    assert set(seen.codes) == {status for _, status in load()}
    for name in ("gateway", "model server"):
        warm, last = medians(seen.resident[name])
        say(f"{name}: {warm / MIB:.1f} to {last / MIB:.1f} MiB resident, ")
        assert last <= warm * 1.05, (name, warm // MIB, last // MIB)
        warm, last = medians(seen.descriptors[name])
        say(f"{warm:g} to {last:g} descriptors\n")
        assert last <= warm * 1.05, (name, warm, last)
    p99 = [seen.p99(fifth, seconds) for fifth in range(FIFTHS)]
    say(f"P99 of each fifth: {', '.join(f'{1000 * one:.0f} ms' for one in p99)}\n")
    assert p99[-1] <= 1.5 * p99[0] + 0.05, p99
