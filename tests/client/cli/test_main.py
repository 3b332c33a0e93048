"""The command line itself."""

import json
from pathlib import Path

import pytest
from detect_client import __version__
from detect_client.cli.main import main

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess


def test_a_picture_as_json_or_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(picture())
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        monkeypatch.setenv("DETECT_URL", gateway.url)
        assert main([str(tmp_path / "a.jpg")]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert [d["label"] for d in answer["detections"]] == ["dog", "cat"]
        assert main([str(tmp_path / "a.jpg"), "--label", "cat"]) == 0
        (cat,) = json.loads(capsys.readouterr().out)["detections"]
        assert cat["box"] == {"x_min": 0.0, "y_min": 3.0, "x_max": 64.0, "y_max": 40.0}
        assert main([str(tmp_path / "a.jpg"), "--out", str(tmp_path / "drawn.jpg")]) == 0
        assert (tmp_path / "drawn.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_the_key_comes_from_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import hashlib

    (tmp_path / "a.jpg").write_bytes(picture())
    digest = hashlib.sha256(b"secret").hexdigest()
    (tmp_path / "keys").write_text(f"me {digest}\n")
    with (
        FakeBackend() as backend,
        GatewayProcess(backend=backend.target, api_keys_file=tmp_path / "keys") as gateway,
    ):
        monkeypatch.setenv("DETECT_URL", gateway.url)
        assert main([str(tmp_path / "a.jpg")]) == 1
        assert "key" in capsys.readouterr().err
        monkeypatch.setenv("DETECT_API_KEY", "secret")
        assert main([str(tmp_path / "a.jpg")]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x", "--on", "person"], "--on and --post go together"),
        (["x", "--every", "0"], "at least 1"),
        (["x", "--format", "xml"], "invalid choice"),
        ([], "source"),
    ],
)
def test_wrong_command_lines(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"detect-client {__version__}\n"
