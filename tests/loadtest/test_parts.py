"""The parts of a load test that need no service: percentiles, schedules, orders, the host."""

import argparse
import asyncio
import os
import random
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest.connection import Broken, Connection, Unreachable, address
from loadtest.histogram import STEP, Histogram
from loadtest.host import HostReadings, describe
from loadtest.options import seconds
from loadtest.picture_folder import read_folder, read_pictures
from loadtest.rate_search import CLOSE, highest
from loadtest.schedule import arrivals
from loadtest.stopped import Stopped
from loadtest.windows import variation_percent
from tests.support.load_target import folder_of
from tests.support.project import free_port


@pytest.mark.parametrize("shape", ["usual", "two kinds", "microseconds", "one"])
def test_percentiles_agree_with_numpy_within_a_bucket(shape: str) -> None:
    numbers = random.Random(3)
    times = {
        "usual": [numbers.lognormvariate(-4, 1) for _ in range(20_000)],
        "two kinds": [0.002] * 900 + [2.0] * 100,
        "microseconds": [numbers.uniform(1e-6, 4e-5) for _ in range(5000)],
        "one": [0.0371],
    }[shape]
    histogram = Histogram()
    for time_s in times:
        histogram.add(time_s)
    for name, share in {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}.items():
        exact = 1e3 * np.quantile(times, share, method="inverted_cdf")
        found = histogram.latency_ms(name)[name]
        assert found is not None
        assert exact * 0.9999 - 1e-4 <= found <= exact * 1.01 + 1e-4
    assert histogram.latency_ms("mean", "max") == pytest.approx(
        {"mean": 1e3 * float(np.mean(times)), "max": 1e3 * max(times)}, rel=1e-3, abs=1e-4
    )


def test_the_histogram_in_the_file_has_every_latency_in_a_bucket_of_one_per_cent() -> None:
    histogram = Histogram()
    times = [random.Random(5).uniform(0.001, 0.002) for _ in range(10)] + [0.5, 0.5, 30.0]
    for time_s in times:
        histogram.add(time_s)
    content = histogram.as_json()
    assert content["unit"] == "us"
    assert sum(count for _, count in content["buckets"]) == len(times)
    for bound, count in content["buckets"]:
        within = [
            t for t in times if bound / STEP < t * 1e6 * (1 + 1e-9) and t * 1e6 <= bound * 1.00001
        ]
        assert len(within) == count
    assert STEP <= 1.01


def test_no_latency_has_no_percentile() -> None:
    assert Histogram().latency_ms("p99", "max", "mean") == {"p99": None, "max": None, "mean": None}


def test_arrivals_are_a_poisson_process_that_the_seed_decides() -> None:
    times = list(arrivals(50, 200, 0, 7))
    assert times == list(arrivals(50, 200, 0, 7))
    assert times != list(arrivals(50, 200, 0, 8))
    assert times == sorted(times)
    assert len(times) == pytest.approx(50 * 200, rel=0.05)
    gaps = np.diff(times)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.05)  # exponential
    # Twice the rate is the same sequence, twice as fast.
    twice = list(arrivals(100, 100, 0, 7))
    assert twice == pytest.approx([t / 2 for t in times])
    assert len(list(arrivals(0.1, 1, 20, 7))) == 20


def test_pictures_are_repeated_and_none_is_lost(tmp_path: Path) -> None:
    pictures = read_folder(folder_of(tmp_path, 5))
    batches = list(pictures.batches(seed=1, size=8, count=21))
    assert [len(batch) for batch in batches] == [8, 8, 5]  # the last one too
    order = [number for batch in batches for number in batch]
    for turn in range(4):  # each turn has every picture once
        assert sorted(order[5 * turn : 5 * turn + 5]) == [0, 1, 2, 3, 4]
    assert order[:5] != order[5:10]
    assert order == list(islice(pictures.order(1), 21))
    assert order != list(islice(pictures.order(2), 21))
    assert {pictures.data(n) for n in order} == {b"picture %d" % n for n in range(5)}


def test_the_hash_is_the_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_folder(folder_of(tmp_path, 3))
    assert read_folder(tmp_path).sha256 == before.sha256
    monkeypatch.setattr("loadtest.picture_folder.KEEP_BYTES", 10)  # too many to keep
    unkept = read_folder(tmp_path)
    assert (unkept.sha256, unkept.kept) == (before.sha256, ())
    assert [unkept.data(n) for n in range(3)] == [before.data(n) for n in range(3)]
    (tmp_path / "01.jpg").write_bytes(b"another")
    assert read_folder(tmp_path).sha256 != before.sha256


def test_a_folder_without_pictures_is_said(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="has no picture"):
        read_folder(tmp_path)
    with pytest.raises(Stopped, match=r"cannot read .*: No such file"):
        read_folder(tmp_path / "none")
    with pytest.raises(Stopped, match=r"cannot read .*: No such file"):
        read_pictures([tmp_path / "none.jpg"])


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("2h", 7200), ("1h30m", 5400), ("1.5m", 90)]
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "2d", "h", "-1", "1h 30m"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="2h expected"):
        seconds(text)


@pytest.mark.parametrize("true", [0.4, 3.0, 10.0, 700.0])
def test_the_search_ends_just_below_the_highest_rate(true: float) -> None:
    asked: list[float] = []

    async def passes(rate: float) -> bool:
        asked.append(rate)
        return rate <= true

    found = asyncio.run(highest(10.0, passes))
    assert found is not None
    assert true / CLOSE <= found <= true
    assert len(set(asked)) == len(asked) < 16


def test_the_search_ends_where_nothing_passes() -> None:
    async def passes(rate: float) -> bool:
        return False

    assert asyncio.run(highest(10.0, passes)) is None


def test_variation_is_best_less_worst_of_whole_windows() -> None:
    windows = [{"images_per_s": r, "seconds": s} for r, s in [(90, 30), (110, 30.1), (5, 2.0)]]
    assert variation_percent(windows, 30) == 20.0
    assert variation_percent(windows[:1], 30) is None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_host_as_the_system_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    write(tmp_path / "proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2 3\n")
    write(tmp_path / "proc/meminfo", "MemTotal: 2048000 kB\nMemAvailable: 1024000 kB\n")
    write(tmp_path / "proc/cpuinfo", "model name : A CPU\ncpu MHz : 2000.0\ncpu MHz : 3000.0\n")
    readings = HostReadings(tmp_path)
    write(tmp_path / "proc/stat", "cpu  150 0 125 725 100 0 0 0 0 0\n")
    expected: dict[str, float | None] = {
        "host_cpu_percent": 75.0,
        "host_memory_mb": 1000.0,
        "temperature_c": None,
        "frequency_mhz": 2500.0,
    }
    assert readings.read() == expected
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", "61500\n")
    write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1800000\n")
    assert readings.read() == {
        **expected,
        "host_cpu_percent": None,
        "temperature_c": 61.5,
        "frequency_mhz": 1800.0,
    }
    write(tmp_path / "dev/neuron0", "")
    found = describe(tmp_path)
    assert (found["cpu"], found["memory_mb"], found["gpu"]) == ("A CPU", 2000, None)
    assert found["neuron"] == "1 Neuron device"


def test_a_gpus_own_temperature_and_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(
        '#!/bin/sh\ncase "$1" in *temperature*) echo "71, 1350";; *) echo "Tesla T4";; esac\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert describe()["gpu"] == "Tesla T4"
    found = HostReadings().read()
    assert (found["temperature_c"], found["frequency_mhz"]) == (71.0, 1350.0)


def test_where_nothing_can_be_read_all_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(HostReadings(tmp_path).read().values()) == {None}


def exchange(*answers: bytes) -> tuple[list[Any], int]:
    """What a connection makes of these bytes, one request each; and how many it opened."""
    left, opened = list(answers), 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while left and await reader.read(4096):
            data = left.pop(0)
            writer.write(data)
            if b"close" in data or b"half" in data:
                break
        writer.close()

    async def ask() -> list[Any]:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            connection = Connection(address(f"http://127.0.0.1:{port}/under/"))
            found: list[Any] = []
            for _ in answers:
                try:
                    found.append(await connection.exchange(b"POST /\r\n\r\n", 5))
                except Broken as error:
                    found.append(error)
            connection.close()
            return found

    return asyncio.run(ask()), opened


def test_answers_with_a_length_in_chunks_and_until_the_end() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    chunks = (
        b"HTTP/1.1 503 -\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )
    ending = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    found, opened = exchange(long, chunks, long, ending, long)
    assert found == [(200, b"abc"), (503, b"abc"), (200, b"abc"), (200, b"abc"), (200, b"abc")]
    assert opened == 2  # the first was kept until it was closed


def test_half_an_answer_and_another_protocol_are_failures() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nhalf"
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    found, _ = exchange(half, long, b"SSH-2.0 close\r\n\r\n", long)
    assert [type(f) for f in found] == [Broken, tuple, Broken, tuple]


def test_nobody_listens() -> None:
    connection = Connection(address(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(Unreachable):
        asyncio.run(connection.exchange(b"", 5))


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://", "http://a:port"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(Stopped, match="--url"):
        address(url)


def test_the_addresss_path_stands_before_the_call() -> None:
    request = address("http://host:81/models/").detect(b"\x89PNG...", "?max_detections=3")
    assert request.startswith(b"POST /models/detect?max_detections=3 HTTP/1.1\r\nHost: host:81\r\n")
    assert b"Content-Type: image/png\r\n" in request
    assert request.endswith(b"Content-Length: 7\r\n\r\n\x89PNG...")


def test_bounds_of_buckets_rise_by_one_per_cent() -> None:
    histogram = Histogram()
    for number in range(1, 4000):
        histogram.add(number * 1e-5)
    bounds = [bound for bound, _ in histogram.as_json()["buckets"]]
    dense = [(a, b) for a, b in pairwise(bounds) if a > 2000]
    assert dense
    assert all(b / a == pytest.approx(STEP, rel=1e-5) for a, b in dense)
