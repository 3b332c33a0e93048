"""`python -m yolov4 train` interrupted, killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.project import ROOT
from tests.yolov4.train.commands.command import arguments
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg
from yolov4.darknet.weights import read_vector, read_weights


class Training:
    """`python -m yolov4 train` in a process of its own."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "yolov4", *command], cwd=ROOT, stderr=file
            )

    def wait_for_checkpoint(self, path: Path, after: int) -> int:
        """The step of the first checkpoint that is later than step `after`."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if path.exists() and (step := step_of(path)) > after:
                return step
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def end(self, number: int) -> int:
        os.kill(self.process.pid, number)
        return self.process.wait(60)


def step_of(checkpoint: Path) -> int:
    with np.load(checkpoint) as found:
        return int(found["step"])


@pytest.mark.slow
def test_training_resumes_after_ctrl_c_and_kill_9(scenes: Path, tmp_path: Path) -> None:
    command = arguments(scenes, tmp_path, 600)
    checkpoint = tmp_path / "n.checkpoint.npz"

    first = Training(command, tmp_path / "1.log")
    reached = first.wait_for_checkpoint(checkpoint, after=0)
    assert first.end(signal.SIGINT) == 130
    interrupted = step_of(checkpoint)
    assert reached <= interrupted < 600

    second = Training(command, tmp_path / "2.log")
    reached = second.wait_for_checkpoint(checkpoint, after=interrupted)
    assert second.end(signal.SIGKILL) == -signal.SIGKILL
    killed = step_of(checkpoint)  # whole: it can be read
    assert reached <= killed < 600
    assert not (tmp_path / "n.weights").exists()

    third = Training(command, tmp_path / "3.log")
    assert third.process.wait(300) == 0, third.log.read_text()
    assert f"resuming at step {interrupted} from" in second.log.read_text()
    assert f"resuming at step {killed} from" in third.log.read_text()
    assert step_of(checkpoint) == 600
    network = read_cfg(tmp_path / "n.cfg")
    assert len(read_weights(tmp_path / "n.weights", network)) > 0


def test_in_pieces_it_is_the_same_as_in_one(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after step 3 of 6 and run again, the weights come out as without interruption."""
    assert main(arguments(scenes, tmp_path / "whole", 6)) == 0

    def interrupt(line: str) -> None:
        if "] 3/6" in line:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("yolov4.train.loop.bar", interrupt)
        assert main(arguments(scenes, tmp_path / "pieces", 6)) == 130
    assert step_of(tmp_path / "pieces" / "n.checkpoint.npz") == 3
    assert main(arguments(scenes, tmp_path / "pieces", 6)) == 0
    network = read_cfg(tmp_path / "whole" / "n.cfg")
    whole, pieces = (
        read_vector(tmp_path / part / "n.weights", network) for part in ("whole", "pieces")
    )
    # Sums in threads are not the same to the last bit.
    np.testing.assert_allclose(whole, pieces, atol=2e-4)


def test_another_run_never_continues_this_one(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other pictures, annotations, classes, weights, options or sizes do not finish it again."""
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    command = arguments(data, tmp_path, 2, "--validation=0.2", "--class", "key", "--class", "fish")
    assert main(command) == 0
    weights = (tmp_path / "n.weights").read_bytes()
    assert main(command) == 0  # the same run is finished already
    assert "resuming at step 2" in capsys.readouterr().err

    annotations = data / "instances.json"
    original = annotations.read_text()
    moved = json.loads(original)
    for thing in moved["annotations"]:
        thing["bbox"][0] += 1
    pictures = sorted(data.glob("*.jpg"))
    first = pictures[0].read_bytes()

    def refused(command: list[str], what: str) -> None:
        assert main(command) == 2
        assert f"n.checkpoint.npz belongs to a run with other {what}" in capsys.readouterr().err
        assert (tmp_path / "n.weights").read_bytes() == weights

    annotations.write_text(json.dumps(moved))
    refused(command, "pictures or annotations and other validation pictures or annotations. To st")
    annotations.write_text(original)
    pictures[0].write_bytes(pictures[1].read_bytes())
    refused(command, "")
    pictures[0].write_bytes(first)
    refused([*command[:-1], "star"], "pictures or annotations")
    refused([*command, "--weights", str(scenes / "start.weights")], "starting weights")
    refused([*command, "--seed", "7"], "options (seed)")
    (data / "start.cfg").write_text((data / "start.cfg").read_text().replace("=64", "=96"))
    refused(command, "pictures or annotations and other validation pictures or annotations and ot")
    (data / "start.cfg").write_text((scenes / "start.cfg").read_text())
    assert main(command) == 0


def test_an_interruption_says_what_is_kept(
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        if "] 2/4" in line:
            raise KeyboardInterrupt

    monkeypatch.setattr("yolov4.train.loop.bar", interrupt)
    assert main(arguments(scenes, tmp_path, 4, "--validation=0.2")) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        f"interrupted after step 2 of 4: {tmp_path / 'n.checkpoint.npz'} is kept"
    )
    assert "with the best weights so far (AP 0." in last
    assert last.endswith("Run the same command again to continue")
