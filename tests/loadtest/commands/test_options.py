"""Option types, and the API key, which must not be written to files."""

import argparse
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.commands.options import seconds, without_key
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.project import ROOT


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("2h", 7200), ("1h30m", 5400), ("1.5m", 90)]
)
def test_times(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "2d", "h", "-1", "1h 30m"])
def test_what_is_not_a_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="2h"):
        seconds(text)


def test_the_key_is_left_out_of_the_command() -> None:
    assert without_key(["soak", "--key", "abc", "--url", "u"]).endswith("--key ... --url u")
    assert without_key(["soak", "--key=abc"]).endswith(" --key=...")


KEY = "k-0123456789"


def test_every_command_sends_the_key_and_writes_it_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through a gateway that requires a key; `ps` does not show the environment variable."""
    images = tmp_path / "images"
    images.mkdir()
    (images / "1.jpg").write_bytes(picture(640, 480))
    keys = tmp_path / "keys"
    keys.write_text(f"tester {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    box = {"id": 1, "image_id": 1, "category_id": 18, "bbox": [10, 20, 50, 70]}
    (tmp_path / "coco.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "1.jpg", "width": 640, "height": 480}],
                "categories": [{"id": 18, "name": "dog"}],
                "annotations": [box],
            }
        )
    )
    commands = {
        "throughput": ["--pictures", "4"],
        "soak": ["--duration", "0.2s"],
        "server": ["--rate", "20", "--seconds", "0.2s", "--requests", "2", "--bound-ms", "9000"],
        "accuracy": ["--annotations", str(tmp_path / "coco.json")],
    }
    with (
        FakeBackend() as backend,
        GatewayProcess(backend=backend.target, api_keys_file=keys) as gateway,
    ):

        def run(name: str, out: str, *more: str) -> int:
            places = ["--url", gateway.url, "--images", str(images), "--out", str(tmp_path / out)]
            return main([name, *places, *commands[name], *more])

        for name in commands:
            assert run(name, f"no-{name}") == 1
            assert "returned 401: " in capsys.readouterr().err
            assert run(name, f"option-{name}", "--key", KEY) == 0
            monkeypatch.setenv("DETECT_API_KEY", KEY)
            assert run(name, f"variable-{name}") == 0
            monkeypatch.delenv("DETECT_API_KEY")
    written = [path for path in tmp_path.rglob("*.json*") if path.is_file()]
    assert len(written) >= 2 * len(commands)
    assert not [path for path in written if KEY in path.read_text()]
    assert "--key ..." in (tmp_path / "option-soak" / "run.json").read_text()


@pytest.mark.parametrize("name", ["accuracy", "throughput", "soak", "server", "mlperf"])
def test_the_help_does_not_show_the_key(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DETECT_API_KEY", KEY)
    with pytest.raises(SystemExit):
        main([name, "--help"])
    said = capsys.readouterr().out
    assert "DETECT_API_KEY" in said
    assert KEY not in said


def test_a_missing_package_is_one_line() -> None:
    """The environment of `make run` has neither tqdm nor psutil."""
    code = (
        "import sys; sys.modules['tqdm'] = None; from loadtest.__main__ import main;"
        "sys.exit(main(['soak', '--url', 'http://a', '--images', '.']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: tqdm is not installed: ")
    assert done.stderr.rstrip().endswith("requirements/loadtest.txt")
    assert done.stderr.count("\n") == 1
