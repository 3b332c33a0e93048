"""--enable_batching and its file, as TensorFlow Serving reads them."""

from pathlib import Path

import pytest
import tensorflow as tf

from service.model_server.batching.parameters import Parameters
from service.model_server.flags import Flags, batching
from tests.support.project import ROOT


def parameters(tmp_path: Path, text: str) -> Parameters | None:
    file = tmp_path / "batching.txt"
    file.write_text(text)
    return batching(Flags().parse_args(["--enable_batching", f"--batching_parameters_file={file}"]))


def test_without_the_flag_nothing_is_joined_and_without_the_file_defaults_hold() -> None:
    assert batching(Flags().parse_args([])) is None
    found = batching(Flags().parse_args(["--enable_batching=true"]))
    assert found == Parameters()
    assert found.max_batch_size == 1000
    assert found.batch_timeout_micros == 0
    assert found.max_enqueued_batches == 10


def test_the_file_without_the_flag_is_refused() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        batching(Flags().parse_args(["--batching_parameters_file=/b.txt"]))
    assert "is set without setting server_options.enable_batching" in caught.value.message


def test_our_own_file_for_a_gpu_is_understood() -> None:
    text = (ROOT / "docker/tfserving/batching.g4.txt").read_text()
    path = ROOT / "docker/tfserving/batching.g4.txt"
    flags = ["--enable_batching=true", f"--batching_parameters_file={path}"]
    assert "max_batch_size { value: 8 }" in text
    assert batching(Flags().parse_args(flags)) == Parameters(
        max_batch_size=8,
        batch_timeout_micros=2000,
        max_enqueued_batches=4,
        num_batch_threads=4,
        allowed_batch_sizes=(1, 2, 4, 8),
    )


def test_a_pool_has_a_name_and_what_is_off_may_be_said(tmp_path: Path) -> None:
    text = (
        'thread_pool_name { value: "pool" } pad_variable_length_inputs: false '
        "enable_large_batch_splitting { value: false }"
    )
    assert parameters(tmp_path, text) == Parameters()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        (
            "allowed_batch_sizes: 4 max_batch_size { value: 8 }",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
            "expected 8",
        ),
        (
            "allowed_batch_sizes: [4, 2, 8] max_batch_size { value: 8 }",
            "The entries of allowed_batch_sizes must be in increasing order.",
        ),
        (
            "pad_variable_length_inputs: true",
            "The embedded model server does not support pad_variable_length_inputs; leave it out.",
        ),
        (
            "max_execution_batch_size { value: 8 }",
            "The embedded model server does not support max_execution_batch_size; leave it out.",
        ),
        ("batch_size: 8", "Invalid protobuf file"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        parameters(tmp_path, text)
    assert says in caught.value.message
