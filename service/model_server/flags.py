"""Command-line flags: the subset of tensorflow_model_server's that is supported.

Names, defaults and texts as tensorflow/serving `model_servers/{main.cc,server.h,server.cc}`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import tensorflow as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

from . import config
from .batching.parameters import Parameters, checked, empty_message

EXIT_FAILED = 255  # main.cc returns -1


class Flags(argparse.ArgumentParser):
    """Like tensorflow_model_server's, with `parse` to report unknown flags and go on."""

    def __init__(self) -> None:
        super().__init__(
            "python -m service.model_server",
            description="A stand-in for tensorflow_model_server.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        self._number("port", 8500, "TCP port for gRPC on all interfaces; 0 disables it")
        self._text("grpc_socket_path", "", "path of a UNIX socket for gRPC")
        self._number(
            "grpc_max_threads", 256, "gRPC threads; calls beyond one fewer are rejected at once"
        )
        self._text("model_name", "default", "model name used in requests")
        self._text("model_base_path", "", "absolute path of the directory with its versions")
        self._text(
            "model_config_file",
            "",
            "file with a ModelServerConfig in text format, in place of name and path",
        )
        self._number(
            "model_config_file_poll_wait_seconds",
            0,
            "seconds between reads of that file; 0 reads it once",
        )
        self._number(
            "file_system_poll_wait_seconds",
            1,
            "seconds between checks for new versions; 0 checks once",
        )
        self._number("max_num_load_retries", 5, "retries after a version failed to load")
        self._number("load_retry_interval_micros", 60_000_000, "microseconds between retries")
        self._switch(
            "allow_version_labels_for_unavailable_models",
            False,
            "allow labels for versions that are not loaded",
        )
        self._switch("enable_model_warmup", True, "run the model's warm-up requests when it loads")
        self._number("num_request_iterations_for_warmup", 0, "runs of each; 0 means 1")
        self._switch("enable_batching", False, "run simultaneous requests as one batch")
        self._text("batching_parameters_file", "", "file with BatchingParameters in text format")
        self._number(
            "tensorflow_session_parallelism", 0, "threads for both of the following; 0 is automatic"
        )
        self._number("tensorflow_intra_op_parallelism", 0, "threads within an operation")
        self._number("tensorflow_inter_op_parallelism", 0, "operations that run in parallel")
        self._switch("enable_serialization_as_tensor_content", False, "return tensors as raw bytes")

    def _number(self, name: str, default: int, sentence: str) -> None:
        self.add_argument(f"--{name}", type=int, default=default, metavar="N", help=sentence)

    def _text(self, name: str, default: str, sentence: str) -> None:
        self.add_argument(f"--{name}", default=default, metavar="TEXT", help=sentence)

    def _switch(self, name: str, default: bool, sentence: str) -> None:
        self.add_argument(
            f"--{name}", type=_switch, nargs="?", const=True, default=default, help=sentence
        )

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        flags, unknown = self.parse_known_args(arguments)
        for argument in unknown:
            sys.stderr.write(f"unknown argument: {argument} (ignored)\n")
        return flags

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_FAILED, f"{self.format_usage()}{self.prog}: {message}\n")


def _switch(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None


def invalid(text: str) -> tf.errors.OpError:
    return tf.errors.InvalidArgumentError(None, None, text)


def first_config(flags: argparse.Namespace) -> Any:
    """The ModelServerConfig the flags ask for."""
    if flags.model_config_file:
        return config.read(Path(flags.model_config_file))
    if not flags.model_base_path:
        raise invalid(
            "Both server_options.model_base_path and server_options.model_config_file are empty!"
        )
    return config.single(flags.model_name, flags.model_base_path)


def batching(flags: argparse.Namespace) -> Parameters | None:
    """None where every request runs for itself."""
    path = flags.batching_parameters_file
    if not flags.enable_batching:
        if path:
            raise invalid(
                "server_options.batching_parameters_file is set without setting "
                "server_options.enable_batching to true."
            )
        return None
    message = empty_message()
    return checked(config.parse(Path(path), message) if path else message)


def session_config(flags: argparse.Namespace) -> Any:
    """The ConfigProto of every Session, model_servers/server.cc."""
    both = flags.tensorflow_session_parallelism
    intra, inter = flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism
    if both > 0 and intra > 0 and inter > 0:
        raise invalid(
            "Either configure server_options.tensorflow_session_parallelism "
            "or (server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. "
            "You cannot configure all."
        )
    if intra <= 0 and inter <= 0:
        intra = inter = both
    session = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=intra, inter_op_parallelism_threads=inter
    )
    # A loaded model's graph does not grow, so that the session need not keep the original and, for
    # each set of outputs, the optimized one: each holds the weights.
    session.experimental.optimize_for_static_graph = True
    session.experimental.disable_output_partition_graphs = True
    # Two of Grappler's passes that hold several copies of the weights and change nothing on a CPU.
    passes = session.graph_options.rewrite_options
    passes.layout_optimizer = RewriterConfig.OFF
    passes.memory_optimization = RewriterConfig.NO_MEM_OPT
    return session
