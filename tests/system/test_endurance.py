"""Good callers beside hostile senders, for minutes: no good request is lost, nothing grows, nothing
slows down, the event loop never stalls, every count is right.

DETECT_TEST_MINUTES is how long; 2 where it is not set, and the longer the smaller a leak it finds.
It goes on until DETECT_TEST_MUTATIONS mutations are sent. What was seen is printed (`pytest -rP`).
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
from tests.support.callers.hostile import HostileSenders
from tests.support.inputs.pictures import header_only, picture
from tests.support.processes import ticker
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.processes.model_server_process import Server
from tests.support.processes.whole_service import batching_flags, whole_service

MINUTES = float(os.environ.get("DETECT_TEST_MINUTES", "2"))
MUTATIONS = int(os.environ.get("DETECT_TEST_MUTATIONS", "0"))
CALLERS = 4
HOSTILE_SENDERS = 2
STALL_LIMIT_S = 0.05
PAUSE_S = 0.2  # of each caller; what is looked for takes time, not load
SAMPLE_S = 0.5
FIFTHS, THIRDS = 5, 3
BATCHING = "max_batch_size { value: 8 } batch_timeout_micros { value: 2000 }"
MIB = 2**20
GROWTH, MORE_DESCRIPTORS = 1.05, 5  # hostile requests have connections of their own


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
    wrong: list[tuple[int, int, str]] = field(default_factory=list)
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
                self.wrong.append((deserved, status, str(answer.get("detail"))))

    def sample(self, name: str, pid: int) -> None:
        self.resident.setdefault(name, []).append(resident_bytes(pid))
        self.descriptors.setdefault(name, []).append(descriptors(pid))

    def p99(self, part: int, parts: int, seconds: float) -> float:
        """Of requests asked in that part of the run."""
        some = [took for when, took in self.latencies if int(when / seconds * parts) == part]
        assert len(some) >= 100, "too few to speak of a 99th percentile; let it run longer"
        return statistics.quantiles(some, n=100)[98]


def keep_asking(seen: Seen, url: str, first: int, stop: threading.Event) -> None:
    pictures = load()
    with closing(Caller(url)) as caller:
        for number in itertools.count(first):
            if stop.wait(PAUSE_S):
                return
            seen.ask(caller, *pictures[number % len(pictures)])


def run(
    seen: Seen, gateway: GatewayProcess, server: Server, seconds: float, hostile: HostileSenders
) -> float:
    """Returns the seconds that it took."""
    stop = threading.Event()
    callers = [
        threading.Thread(target=keep_asking, args=(seen, gateway.url, 3 * number, stop))
        for number in range(CALLERS)
    ]
    seen.started = time.monotonic()
    for thread in callers:
        thread.start()
    while time.monotonic() < seen.started + seconds or hostile.mutations < MUTATIONS:
        seen.sample("gateway", gateway.process.pid)
        seen.sample("model server", server.process.pid)
        time.sleep(SAMPLE_S)
    stop.set()
    for thread in callers:
        thread.join()
    return time.monotonic() - seen.started


def medians(samples: list[int]) -> tuple[float, float]:
    """Of the second fifth, that after warming up, and of the last."""
    fifth = len(samples) // FIFTHS
    return statistics.median(samples[fifth : 2 * fifth]), statistics.median(samples[-fifth:])


@pytest.mark.slow
def test_nothing_grows_and_every_request_is_counted(small_repository: Path, tmp_path: Path) -> None:
    seen, ticks, beside = Seen(), tmp_path / "ticks", tmp_path / "beside"
    flags = batching_flags(tmp_path, BATCHING)
    with (
        whole_service(tmp_path, small_repository, "small", *flags, ticks=ticks) as (
            gateway,
            server,
        ),
        ticker.control(beside),
    ):
        with HostileSenders(gateway, HOSTILE_SENDERS) as hostile:
            seconds = run(seen, gateway, server, MINUTES * 60, hostile)
        assert gateway.process.poll() is None
        assert server.process.poll() is None
        for code, count in (seen.codes + hostile.codes).items():
            sample = f'detect_requests_total{{code="{code}",route="/detect"}}'
            assert gateway.metric(sample) == count, sample
        for reason, count in (seen.reasons + hostile.reasons).items():
            sample = f'detect_rejected_total{{reason="{reason}"}}'
            assert gateway.metric(sample) == count, sample

    say = sys.stdout.write
    say(f"{seconds / 60:.1f} minutes: {seen.codes.total()} requests, {dict(seen.codes)}\n")
    say(f"hostile: {hostile.statuses.total()}, {dict(sorted(hostile.statuses.items()))}\n")
    for name in ("gateway", "model server"):
        warm, last = medians(seen.resident[name])
        say(f"{name}: {warm / MIB:.1f} to {last / MIB:.1f} MiB resident, ")
        before, after = medians(seen.descriptors[name])
        say(f"{before:g} to {after:g} descriptors\n")
    p99 = [seen.p99(part, THIRDS, seconds) for part in range(THIRDS)]
    fifths = [seen.p99(part, FIFTHS, seconds) for part in range(FIFTHS)]
    say(f"P99 of each fifth: {', '.join(f'{1000 * one:.0f} ms' for one in fifths)}\n")
    stalls, idle = ticker.stalls(ticks), ticker.stalls(beside)
    say(f"{len(stalls)} ticks, P99.9 {1000 * ticker.p999(stalls):.1f} ms (of an idle process")
    say(f" {1000 * ticker.p999(idle):.1f} ms), longest {1000 * stalls[-1]:.0f} ms\n")

    assert seen.wrong == []
    assert set(seen.codes) == {status for _, status in load()}
    assert not [key for key in hostile.statuses if key[1] >= 500 and key[1] not in (503, 504)]
    assert hostile.statuses["half-close", 200] > 0 < hostile.statuses["silent", 408]
    assert hostile.statuses["repeated Transfer-Encoding", 400] > 0
    for name in ("gateway", "model server"):
        warm, last = medians(seen.resident[name])
        assert last <= warm * GROWTH, (name, warm // MIB, last // MIB)
        before, after = medians(seen.descriptors[name])
        assert after <= before + MORE_DESCRIPTORS, (name, before, after)
    assert p99[-1] <= 1.5 * p99[0] + 0.05, p99
    assert ticker.p999(stalls) < STALL_LIMIT_S + ticker.p999(idle)
