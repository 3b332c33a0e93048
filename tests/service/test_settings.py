"""Settings: accepted and rejected values, and the reference generated from them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.core.logs.settings import PREFIX, LogSettings, SettingsError
from service.settings import Settings
from tests.support.project import ROOT


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


def test_environment_overrides_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().port == 8000
    monkeypatch.setenv("DETECT_PORT", "9001")
    assert Settings.load().port == 9001


def test_a_value_that_cannot_be_used_names_variable_and_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DETECT_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("DETECT_DEADLINE_S", "0")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    first, second = str(caught.value).splitlines()
    assert first.startswith("DETECT_PORT='tcp://10.0.0.1:80': Input should be a valid integer")
    assert second == "DETECT_DEADLINE_S='0': Input should be greater than 0"


def test_one_backend_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for good in (
        *("model-server:8500", "dns:///models:8500", "unix:/run/models", "ipv6:[::1]:8500"),
        *("10.0.0.1:8500, 10.0.0.2:8500", "one:8500,dns:///models:8500,10.0.0.1:8500"),
    ):
        monkeypatch.setenv("DETECT_BACKEND", good)
        assert Settings.load().backend == good
    for bad in ("", ",", "localhost", "http://localhost:8500", "models:port", "one:1,,two:2"):
        monkeypatch.setenv("DETECT_BACKEND", bad)
        with pytest.raises(SettingsError, match="is not host:port"):
            Settings.load()


def test_one_model_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().model_names == ("yolov4",)
    monkeypatch.setenv("DETECT_MODEL_NAME", "coco")
    assert Settings.load().model_names == ("coco",)
    monkeypatch.setenv("DETECT_MODELS", "coco, yolov4-tiny.2")
    assert Settings.load().model_names == ("coco", "yolov4-tiny.2")
    monkeypatch.delenv("DETECT_MODEL_NAME")
    assert Settings.load().model_names == ("coco", "yolov4-tiny.2")


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("MODELS", "coco,", "'' is not a model name"),
        ("MODELS", "coco,a/b", "'a/b' is not a model name"),
        ("MODELS", "coco,voc,coco", "a model is listed twice"),
        ("MODEL_NAME", "voc", "DETECT_MODELS begins with 'coco', the default"),
        ("MODEL_VERSION", "2", "there are several models; write MODEL=2"),
    ],
)
def test_models_that_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reason: str
) -> None:
    monkeypatch.setenv("DETECT_MODELS", "coco,voc")
    monkeypatch.setenv(f"DETECT_{variable}", value)
    with pytest.raises(SettingsError, match=reason):
        Settings.load()


def test_tls_needs_a_ca_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DETECT_BACKEND_SERVER_NAME", "models")
    with pytest.raises(SettingsError, match="needs DETECT_BACKEND_CA_FILE, which enables TLS"):
        Settings.load()
    monkeypatch.setenv("DETECT_BACKEND_CA_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).splitlines() == [
        f"DETECT_BACKEND_CA_FILE='{tmp_path}/ca.pem': Value error,"
        " cannot be read: No such file or directory"
    ]


def test_a_misspelt_variable_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECT_PROT", "1")
    monkeypatch.setenv("DETECT_HOST", "::")
    assert Settings.unknown() == ["DETECT_PROT"]


def test_settings_do_not_change_after_they_were_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().port = 1  # type: ignore[misc]


def test_log_settings_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECT_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("DETECT_LOG_FORMAT", "Text")
    settings = Settings.load()
    assert (settings.log_level, settings.log_format) == ("warning", "text")
    assert LogSettings.load() == LogSettings(log_level="warning", log_format="text")


def test_downscale_is_on_or_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().downscale is False
    monkeypatch.setenv("DETECT_DOWNSCALE", "on")
    assert Settings.load().downscale is True
    monkeypatch.setenv("DETECT_DOWNSCALE", "4")
    with pytest.raises(SettingsError, match=r"^DETECT_DOWNSCALE='4': .*valid boolean"):
        Settings.load()


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_times_are_finite(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for variable in ("DETECT_DEADLINE_S", "DETECT_DRAIN_S"):
        monkeypatch.setenv(variable, value)
        with pytest.raises(SettingsError, match=f"^{variable}='{value}': "):
            Settings.load()
        monkeypatch.delenv(variable)


def test_the_reference_has_every_setting_with_default_unit_and_description() -> None:
    header, separator, *rows = Settings.reference().splitlines()
    assert (header.count("|"), separator) == (5, "|---|---|---|---|")
    cells = {row.split("`")[1]: re.split(r" ?\| ?", row)[2:-1] for row in rows}
    assert list(cells) == [PREFIX + name.upper() for name in Settings.model_fields]
    assert cells["DETECT_PORT"] == ["`8000`", "", "Port to listen on; 0 picks a free one."]
    assert cells["DETECT_DEADLINE_S"][:2] == ["`10`", "seconds"]
    assert cells["DETECT_MAX_UPLOAD_BYTES"][:2] == ["`20971520`", "bytes"]
    assert cells["DETECT_MAX_PIXELS"][:2] == ["`50000000`", "pixels"]
    assert cells["DETECT_DOWNSCALE"][:2] == ["`off`", ""]
    assert cells["DETECT_PICTURE_THREADS"][0] == "unset"
    for name, (_, _, sentence) in cells.items():
        assert re.fullmatch(r"(gRPC|[A-Z`]).{10,}\.", sentence), f"{name} has no sentence"


def test_the_reference_is_printed() -> None:
    command = [sys.executable, "-m", "service.settings"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == Settings.reference()


def test_versions_and_shares_of_one_model_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECT_MODEL_VERSION", "stable")
    monkeypatch.setenv("DETECT_CANARY", "canary:12.5")
    one = Settings.load()
    assert one.model_versions == {"yolov4": "stable"}
    assert one.canaries == {"yolov4": ("canary", 12.5)}
    monkeypatch.setenv("DETECT_MODELS", "coco,voc")
    monkeypatch.setenv("DETECT_MODEL_VERSION", "coco=1, voc=stable")
    monkeypatch.setenv("DETECT_CANARY", "voc=2:100")
    monkeypatch.setenv("DETECT_SHADOW", "coco=2:5,voc=next:0")
    several = Settings.load()
    assert several.model_versions == {"coco": "1", "voc": "stable"}
    assert several.canaries == {"voc": ("2", 100)}
    assert several.shadows == {"coco": ("2", 5), "voc": ("next", 0)}


@pytest.mark.parametrize(
    ("version", "canary", "reason"),
    [
        ("", "canary:10", "needs DETECT_MODEL_VERSION for 'yolov4'"),
        ("stable", "canary", "'canary' is not VERSION:PERCENT, such as canary:10"),
        ("stable", "canary:101", "101 is more than 100 percent"),
        ("stable", "canary:-1", "is not VERSION:PERCENT"),
        ("stable", "0:10", "'0' is neither a version number .* nor a label"),
        ("stable", "9999999999999999999:10", "is neither a version number"),
        ("stable", "stable:10", "'stable' is also DETECT_MODEL_VERSION"),
        ("stable", "voc=canary:10", "'voc' is not one of the models: yolov4"),
        ("stable", "canary:10,2:10", "model 'yolov4' is listed twice"),
        ("-", "", "'-' is neither a version number"),
    ],
)
def test_versions_and_shares_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, version: str, canary: str, reason: str
) -> None:
    monkeypatch.setenv("DETECT_MODEL_VERSION", version)
    monkeypatch.setenv("DETECT_CANARY", canary)
    with pytest.raises(SettingsError, match=reason):
        Settings.load()
