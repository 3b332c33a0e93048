"""The bench on itself and on our own gateway. The peers' venvs need a network: not made here."""

import asyncio
import io
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from loadtest.bench import gateway
from loadtest.bench.client import BadResponse, Load, drive
from loadtest.bench.gateway_table import Window, rows, table, verdicts, window
from loadtest.bench.processes import ProcessTree
from loadtest.bench.servers import FLOOR, OWN, RAW, SERVERS, UPLOADS
from loadtest.client import Service

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"


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
        members = tree.members()
        assert len(members) == 2
        assert 5 < tree.resident_mb() < 500
    _, alive = psutil.wait_procs(members, 10)
    assert [m for m in alive if m.status() != psutil.STATUS_ZOMBIE] == []


def test_the_picture_is_of_ordinary_size_and_the_seed_decides_it() -> None:
    jpeg = gateway.picture(0)
    assert Image.open(io.BytesIO(jpeg)).size == (768, 576)
    assert 120_000 < len(jpeg) < 200_000
    assert jpeg == gateway.picture(0)
    assert jpeg != gateway.picture(1)


def test_our_gateway_before_the_null_backend() -> None:
    cells = gateway.bench(
        SERVERS[:1], gateway.picture(0), connections=2, seconds=0.2, rounds=1, warm_up_s=0.1
    )
    found = rows(cells)
    assert [(row.server, row.upload) for row in found] == [(OWN, upload) for upload in UPLOADS]
    for row in found:
        assert row.requests > 0
        assert row.ratio == 1.0
        assert 0 < row.p50_ms <= row.p99_ms
        assert row.requests_per_s > 0
    assert table(found).count(OWN) == 2


def test_a_status_other_than_200_is_a_bad_response(tmp_path: Path) -> None:
    """A file server rejects POST with 501."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split(" port ")[1].split()[0])
            service = Service.at(f"http://127.0.0.1:{port}")
            with pytest.raises(BadResponse, match="501"):
                asyncio.run(drive(service, service.detect(b"jpeg"), 1, 0))
        finally:
            server.terminate()
