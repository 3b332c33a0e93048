"""tensorflow_model_server's flags, as far as they are supported, and what they mean.

Names, defaults and texts as tensorflow/serving `model_servers/{main.cc,server.h,server.cc}`.
"""

import argparse
import os
from pathlib import Path
from typing import Any, NoReturn

import tensorflow as tf

from . import config
from .batching_parameters import Parameters, checked, empty_message

EXIT_FAILED = 255  # main.cc returns -1


class Flags(argparse.ArgumentParser):
    """An unknown flag is an error: one that is ignored would promise what is not done."""

    def __init__(self) -> None:
        super().__init__(
            "python -m service.model_server",
            description="A stand-in for tensorflow_model_server.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        self._number("port", 8500, "TCP port of the gRPC API, on every interface; 0: none")
        self._text("grpc_socket_path", "", "UNIX socket of the gRPC API")
        self._number("grpc_max_threads", 4 * _cpus(), "Predict calls that run at the same time")
        self._text("model_name", "default", "name of the model")
        self._text("model_base_path", "", "absolute path of the directory of its versions")
        self._text("model_config_file", "", "text ModelServerConfig, instead of name and path")
        self._number("model_config_file_poll_wait_seconds", 0, "between two reads of it; 0: once")
        self._number("file_system_poll_wait_seconds", 1, "between two looks for versions; 0: once")
        self._number("max_num_load_retries", 5, "after a failed load, before giving the version up")
        self._number("load_retry_interval_micros", 60_000_000, "microseconds between these")
        self._switch("allow_version_labels_for_unavailable_models", False, "for new labels")
        self._switch("enable_model_warmup", True, "replay the SavedModel's warm-up requests")
        self._switch("enable_batching", False, "join requests that come at the same time")
        self._text("batching_parameters_file", "", "text BatchingParameters, instead of defaults")
        self._number("tensorflow_session_parallelism", 0, "both of the following; 0: automatic")
        self._number("tensorflow_intra_op_parallelism", 0, "threads of one operation")
        self._number("tensorflow_inter_op_parallelism", 0, "operations at the same time")
        self._switch(
            "enable_serialization_as_tensor_content", False, "answer bytes, not typed fields"
        )

    def _number(self, name: str, default: int, sentence: str) -> None:
        self.add_argument(f"--{name}", type=int, default=default, metavar="N", help=sentence)

    def _text(self, name: str, default: str, sentence: str) -> None:
        self.add_argument(f"--{name}", default=default, metavar="TEXT", help=sentence)

    def _switch(self, name: str, default: bool, sentence: str) -> None:
        self.add_argument(
            f"--{name}", type=_switch, nargs="?", const=True, default=default, help=sentence
        )

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_FAILED, f"{self.format_usage()}{self.prog}: {message}\n")


def _switch(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


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
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=intra, inter_op_parallelism_threads=inter
    )
