"""`python -m yolov4 train` as a user runs it: interrupted, killed, resumed; its files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.project import ROOT
from yolov4.__main__ import main
from yolov4.darknet.reader import read_cfg, read_names
from yolov4.darknet.weights import read_vector, read_weights
from yolov4.darknet.writer import write_cfg, write_model
from yolov4.demo.scenes import write_scenes
from yolov4.errors import ModelError
from yolov4.load import read_network
from yolov4.network.architecture import yolov4_tiny
from yolov4.network.network import Network
from yolov4.network.weights import conv_shapes, count_floats
from yolov4.train.checkpoint import Plan, State, Validated
from yolov4.train.forward import initial
from yolov4.train.transfer import starting_vector, trainable, transfer, with_classes
from yolov4.train.validation import Validation

START = yolov4_tiny(64, 64, 5, 0.125)
START_NAMES = ["star", "dog", "heart", "cat", "key"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six scenes and of a model to start from."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(range(6), folder, processes=1)
    write_model(folder, "start", START, initial(START, 1), START_NAMES, seen=0)
    return folder


def arguments(scenes: Path, out: Path, steps: int, *more: str) -> list[str]:
    files = ["--data", str(scenes / "instances.json"), "--images", str(scenes)]
    files += ["--cfg", str(scenes / "start.cfg"), "--out", str(out)]
    files += ["--name", "n", "--steps", str(steps), "--batch", "4", "--validation", "0"]
    return ["train", *files, *more]


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


def test_what_it_writes_can_be_exported(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(scenes, tmp_path, 2, "--class", "key", "--class", "fish")) == 0
    assert "python -m yolov4 export" in capsys.readouterr().err
    assert read_names(tmp_path / "n.names") == ["fish", "key"]
    files = [f"--{part}={tmp_path / 'n'}.{part}" for part in ("cfg", "weights", "names")]
    assert main(["export", "--name", "n", *files, "--repository", str(tmp_path / "models")]) == 0
    about = json.loads((tmp_path / "models/n/1/assets.extra/model.json").read_text())
    assert about["classes"] == 2


def test_what_was_learnt_is_kept(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--weights", str(scenes / "start.weights"), "--names", str(scenes / "start.names")]
    assert main(arguments(scenes, tmp_path, 1, "--class", "key", "--class", "fish", *start)) == 0
    assert ": class scores of fish start from scratch" in capsys.readouterr().err


def test_partial_weights_are_a_start(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first layers as `darknet partial` writes them, for a network with other classes."""
    shapes = conv_shapes(START)
    assert [shape.layer for shape in shapes[16:18]] == [28, 29]  # as in yolov4-tiny.conv.29
    size = 20 + 4 * sum(shape.floats for shape in shapes[:17])
    part = tmp_path / "start.conv.29"
    part.write_bytes((scenes / "start.weights").read_bytes()[:size])
    vector, layers = starting_vector(part, START, seed=2)
    assert layers == 29
    count = (size - 20) // 4
    np.testing.assert_array_equal(vector[:count], initial(START, 1)[:count])
    np.testing.assert_array_equal(vector[count:], initial(START, 2)[count:])

    assert main(arguments(scenes, tmp_path, 1, "--class", "fish", "--weights", str(part))) == 0
    assert "start.conv.29: 0 to 28; the others start from scratch" in capsys.readouterr().err
    files = ["--cfg", str(scenes / "start.cfg"), "--weights", str(part)]
    files += ["--names", str(scenes / "start.names"), "--repository", str(tmp_path / "models")]
    assert main(["export", "--name", "n", *files]) == 2
    assert "ends with layer 28" in capsys.readouterr().err


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


def test_the_best_weights_are_written_and_the_page_says_which(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aps = iter([0.1, 0.4, 0.9, 0.2])
    seen: list[np.ndarray] = []

    def validated(self: Validation, vector: Any, step: int) -> Validated:
        seen.append(np.asarray(vector))
        return Validated(step, next(aps), 0.95, {"key": (0.9, 0.95)})

    monkeypatch.setattr(Validation, "__call__", validated)
    assert main([*arguments(scenes, tmp_path, 3), "--validation=0.2"]) == 0
    written = read_vector(tmp_path / "n.weights", read_cfg(tmp_path / "n.cfg"))
    np.testing.assert_array_equal(written, seen[2])
    assert (seen[2] != seen[3]).any()
    page = (tmp_path / "n.html").read_text()
    assert "those after step 2, with the highest AP" in page
    assert "0.900 (AP50 0.950)" in page


def test_classes_without_examples_are_named(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((scenes / "instances.json").read_text())
    content["categories"].append({"id": 99, "name": "unicorn"})
    path = tmp_path / "more.json"
    path.write_text(json.dumps(content))
    command = [*arguments(scenes, tmp_path, 1), "--data", str(path), "--class", "key"]
    assert main([*command, "--class", "unicorn"]) == 0
    text = capsys.readouterr().err
    assert "warning: the training pictures show no unicorn: they cannot be learned" in text
    assert 'class="none">none' in (tmp_path / "n.html").read_text()


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


def test_a_built_in_network_is_a_start() -> None:
    """As `--cfg`, with COCO's names: the class scores of a person are kept."""
    network, names = read_network("yolov4-tiny", None, names_required=False)
    assert (network.classes, len(names)) == (80, 80)
    vector = np.arange(count_floats(network), dtype=np.float32)
    trained, start = transfer(trainable(network), vector, names, ["robot", "person"], seed=0)
    assert trained == with_classes(network, 2)
    old, new = vector[-255 * 257 :][:255], start[-21 * 257 :][:21]  # biases of the last convolution
    np.testing.assert_array_equal(new.reshape(3, 7)[:, 6], old.reshape(3, 85)[:, 5])


def test_transfer_keeps_all_but_the_scores_of_new_classes() -> None:
    vector = np.arange(len(initial(START, 0)), dtype=np.float32)
    network, found = transfer(START, vector, START_NAMES, ["key", "fish", "star"], seed=0)
    assert network == with_classes(START, 3)
    assert network.classes == 3
    # The last convolution: 3 anchors x (5 + classes) biases, then as many rows of 32 numbers.
    old = vector[-(30 + 30 * 32) :]
    new = found[-(24 + 24 * 32) :]
    for width, before, after in (
        (1, old[:30], new[:24]),
        (32, old[30:], new[24:]),
    ):
        rows, kept = before.reshape(3, 10, width), after.reshape(3, 8, width)
        np.testing.assert_array_equal(kept[:, :5], rows[:, :5])
        np.testing.assert_array_equal(kept[:, 5], rows[:, 5 + 4])  # key
        np.testing.assert_array_equal(kept[:, 7], rows[:, 5 + 0])  # star
        assert (np.abs(kept[:, 6]) < 3).all()  # fish: afresh
    np.testing.assert_array_equal(found[:1000], vector[:1000])


def test_a_checkpoint_with_other_options_is_refused(tmp_path: Path) -> None:
    def fresh(network: Network, plan: Plan) -> State:
        return State(np.zeros(count_floats(network), np.float32), network, plan)

    path, plan = tmp_path / "c.npz", Plan(steps=5)
    fresh(START, plan).save(path)
    fresh(START, plan).load(path)
    with pytest.raises(ModelError, match=r"other options \(steps, rate\)\. To start over, delete"):
        fresh(START, Plan(steps=6, rate=1)).load(path)
    with pytest.raises(ModelError, match="with other network"):
        fresh(with_classes(START, 3), plan).load(path)
    with pytest.raises(ModelError, match=r"other network and other options \(seed\)"):
        fresh(START.resized(96, 64), Plan(steps=5, seed=1)).load(path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", bytes(100)])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path, plan = tmp_path / "c.npz", Plan(steps=5)
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"c\.npz is not a checkpoint of this version, or is dam"):
        State(np.zeros(count_floats(START), np.float32), START, plan).load(path)


def test_the_rate_warms_up_and_falls_to_a_hundredth() -> None:
    plan = Plan(steps=1100, rate=1.0, warm_up=100)
    rates = [plan.learning_rate(step) for step in (0, 99, 100, 600, 1100)]
    np.testing.assert_allclose(rates, [0.01, 1, 1, 0.505, 0.01], atol=1e-9)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--steps=0", "--steps and --batch must be at least 1"),
        ("--batch=0", "--steps and --batch must be at least 1"),
        ("--rate=0", "--steps and --batch must be at least 1"),
        ("--validation=1", "--validation must be at least 0, and below 1"),
        ("--val-images=here", "--val-images needs --val-annotations"),
    ],
)
def test_senseless_options_are_refused(
    option: str, reason: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(scenes, tmp_path, 1), option]) == 2
    assert f"error: {reason}" in capsys.readouterr().err


def test_a_cfg_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cfg(tmp_path / "start.cfg", START)
    assert main(arguments(tmp_path, tmp_path, 1)) == 2
    assert "instances.json" in capsys.readouterr().err
