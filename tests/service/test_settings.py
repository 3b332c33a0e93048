"""Settings: what may be in the environment."""

from pathlib import Path

import pytest

from service.settings import PREFIX, Settings, SettingsError


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


def test_tls_needs_its_authority_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DETECT_BACKEND_SERVER_NAME", "models")
    with pytest.raises(SettingsError, match="without DETECT_BACKEND_CA_FILE there is no TLS"):
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
