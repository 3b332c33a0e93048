"""The command line of the embedded model server."""

import pytest
import tensorflow as tf

from service.model_server.flags import Flags, first_config


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--model_base_path=/m", "--port=x"], "invalid int value: 'x'"),
        (["--enable_model_warmup=maybe"], "'maybe' is neither true nor false"),
    ],
)
def test_invalid_flags(flags: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        Flags().parse_args(flags)
    assert exit.value.code == 255
    assert text in capsys.readouterr().err


def test_unknown_flags_are_reported_and_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    flags = Flags().parse(["--rest_api_port=8501", "--port=1"])
    assert flags.port == 1
    assert capsys.readouterr().err == "unknown argument: --rest_api_port=8501 (ignored)\n"


def test_flags_take_both_forms() -> None:
    parse = Flags().parse_args
    assert parse(["--port=1"]) == parse(["--port", "1"])
    assert parse([]).enable_model_warmup is True
    assert parse(["--enable_model_warmup=false"]).enable_model_warmup is False
    assert parse([]).model_name == "default"
    assert parse([]).port == 8500


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "Both server_options.model_base_path and server_options.model_config_file are empty!"),
        (["--model_config_file=/no/such/file"], "/no/such/file; No such file or directory"),
    ],
)
def test_missing_models_are_an_error(flags: list[str], text: str) -> None:
    with pytest.raises(tf.errors.OpError) as caught:
        first_config(Flags().parse_args(flags))
    assert caught.value.message == text
