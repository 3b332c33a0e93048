"""The bench on itself and on our own gateway. The peers' venvs need a network: not made here."""

import asyncio
import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from loadtest import gateway_bench
from loadtest.gateway_bench_client import (
    BadAnswer,
    Load,
    drive,
    multipart_request,
    percentile,
    raw_request,
)
from loadtest.gateway_bench_process import ProcessTree, family
from loadtest.gateway_bench_report import Window, rows, table, verdicts, window
from loadtest.gateway_bench_servers import FLOOR, OWN, RAW, SERVERS, UPLOADS

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.91, 10), (0.99, 10), (1.0, 10)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([3, 1, 2, 10, 9, 8, 7, 6, 5, 4], share) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


def test_a_window_divides_cpu_by_what_was_answered() -> None:
    load = Load([0.010, 0.020, 0.030, 0.040], 2.0)
    assert window(load, cpu_s=0.002) == Window(4, 0.5, 2.0, 20.0, 40.0)


def cell(*cpu_ms: float) -> list[Window]:
    return [Window(100, cpu, 1000.0, 1.0, 2.0) for cpu in cpu_ms]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """A disturbed round, the second, moves neither side's ratio."""
    cells = {(OWN, RAW): cell(1.0, 5.0, 1.0), ("LitServe", RAW): cell(4.0, 20.0, 4.4)}
    ours, peer = rows(cells)
    assert (ours.ratio, peer.ratio) == (1.0, 4.0)
    assert (peer.cpu_ms, peer.requests) == (4.4, 300)


@pytest.mark.parametrize(("bento", "word"), [(2.0, "met"), (1.9, "MISSED")])
def test_the_bar_is_half_of_the_better_peer(bento: float, word: str) -> None:
    cells = {
        (OWN, RAW): cell(1.0),
        ("LitServe", RAW): cell(4.0),
        ("BentoML", RAW): cell(bento),
        (FLOOR, RAW): cell(0.8),
    }
    peer, floor = verdicts(rows(cells))
    assert "BentoML" in peer
    assert word in peer
    assert floor == "raw: 1.25 times the bare forwarder's CPU."


def runs(pid: int) -> bool:
    """False also for a zombie: nobody of ours is left to wait for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_cpu_counts_children_that_run_and_children_that_ended(tmp_path: Path) -> None:
    parent = (
        "import subprocess, sys, time\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1]])\n"
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1] + 'time.sleep(60)'])\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", parent, BURN]
    with ProcessTree(command, tmp_path, {}, tmp_path / "log") as tree:
        deadline = time.monotonic() + 30
        while tree.cpu_s() < 0.55 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert tree.cpu_s() >= 0.55
        members = family(tree.process.pid)
        assert len(members) == 2
    while any(map(runs, members)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in members if runs(pid)]


def test_the_picture_is_of_ordinary_size_and_the_seed_decides_it() -> None:
    jpeg = gateway_bench.picture(0)
    assert Image.open(io.BytesIO(jpeg)).size == (768, 576)
    assert 120_000 < len(jpeg) < 200_000
    assert jpeg == gateway_bench.picture(0)
    assert jpeg != gateway_bench.picture(1)


def test_requests_say_their_length() -> None:
    for request in (raw_request("/a", b"jpeg"), multipart_request("/a", b"jpeg")):
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"jpeg" in body


def test_our_gateway_before_the_null_backend() -> None:
    cells = gateway_bench.bench(
        SERVERS[:1], gateway_bench.picture(0), connections=2, seconds=0.2, rounds=1, warm_up_s=0.1
    )
    found = rows(cells)
    assert [(row.server, row.upload) for row in found] == [(OWN, upload) for upload in UPLOADS]
    for row in found:
        assert row.requests > 0
        assert row.ratio == 1.0
        assert 0 < row.p50_ms <= row.p99_ms
        assert row.requests_per_s > 0
    assert table(found).count(OWN) == 2


def test_another_status_than_200_is_no_answer(tmp_path: Path) -> None:
    """A server of files refuses POST with 501."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split(" port ")[1].split()[0])
            with pytest.raises(BadAnswer, match="501"):
                asyncio.run(drive(port, raw_request("/", b"jpeg"), 1, 0))
        finally:
            server.terminate()
