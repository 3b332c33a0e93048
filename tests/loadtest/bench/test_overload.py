"""`make bench-overload` on a small model: its arithmetic, and its table from a real overload."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest import CommandError
from loadtest.bench.overload import Answer, Trial, main, pinned
from tests.support.inputs.pictures import picture


def test_a_row_counts_what_was_answered_in_time_once_the_queues_are_full() -> None:
    early = [Answer(200, 1.0, 0.5)] * 7
    steady = [Answer(200, 6.5, 2.0)] * 12
    late = [Answer(200, 5.0, 10.5)] * 3
    refused = [Answer(503, 5.0, 0.01)] * 5 + [Answer(503, 5.0, 0.5)]
    lost = [Answer(0, 9.0, 10.0), Answer(-1, 2.0, 0.1)]
    trial = Trial(2, 2.0, 10, 4, [*early, *steady, *late, *refused, *lost], 3.2, 0.25)
    cells = [cell.strip() for cell in trial.row().split("|")]
    assert cells == ["2x", "30", "100%", "19", "2.0 s", "6", "10 ms", "5", "+3 MB", "25%"]
    # Of 24 that could be answered 18 were asked, and 12 answered.
    assert "| 67% |" in trial._replace(saturation=4.0).row()


def test_servers_and_generator_have_different_cores() -> None:
    ask = [sys.executable, "-c", "import os; print(*os.sched_getaffinity(0))"]
    before = os.sched_getaffinity(0)
    generator, server = min(before), max(before)
    with pinned({server}):
        started = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        with pinned({generator}):
            assert os.sched_getaffinity(0) == {generator}
        assert os.sched_getaffinity(0) == {server}
    assert started.split() == [str(server)]
    assert os.sched_getaffinity(0) == before


def test_a_single_core_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some").mkdir()
    jpeg = tmp_path / "picture.jpg"
    jpeg.write_bytes(picture(320, 240))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with pytest.raises(CommandError, match="needs two cores"):
        main([f"--repository={tmp_path}", "--model=some", f"--picture={jpeg}"])


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    arguments = [f"--repository={tmp_path}", "--picture=none.jpg"]
    with pytest.raises(CommandError, match="nothing is not a model: `make model` exports one"):
        main([*arguments, "--model=nothing"])
    (tmp_path / "some").mkdir()
    with pytest.raises(CommandError, match=r"--picture none\.jpg: No such file"):
        main([*arguments, "--model=some"])


@pytest.mark.slow
def test_the_gateway_refuses_what_it_cannot_do_and_does_what_it_can(
    small_repository: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    jpeg = tmp_path / "picture.jpg"
    jpeg.write_bytes(picture(320, 240))
    arguments = ["--model=small", f"--repository={small_repository}", f"--picture={jpeg}"]
    assert main([*arguments, "--seconds=4", "--factors", "3", "--servers", "this gateway"]) == 0
    last = capfd.readouterr().out.splitlines()[-1]
    name, factor, sent, goodput, answered, _, refused, *_ = re.split(r" *\| *", last.strip("| "))
    assert (name, factor) == ("this gateway", "3x")
    assert 0 < int(answered) < int(sent)
    assert int(refused) > 0.3 * int(sent)
    assert float(goodput.strip("%")) > 50
