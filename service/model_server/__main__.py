"""`python -m service.model_server`: starts the server."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

import grpc
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from ..core import logs
from ..core.logs.settings import LogSettings, SettingsError
from . import config
from .batching.batcher import Batcher
from .flags import EXIT_FAILED, Flags, batching, first_config, invalid, session_config
from .manager import Manager
from .repository import Repository
from .servable import Servable
from .services import ModelService, PredictionService, ThreadLimit
from .start_up_lines import run_first_session

MAX_MESSAGE_BYTES = 2**31 - 1  # model_servers/server.cc
log = logging.getLogger(__package__)


def build_manager(flags: argparse.Namespace, repository: Repository) -> Manager:
    session = session_config(flags)
    parameters = batching(flags)
    batcher = Batcher(parameters) if parameters else None

    def load(path: Path) -> Servable:
        return Servable(
            path,
            session,
            warmup_iterations=flags.enable_model_warmup
            and max(flags.num_request_iterations_for_warmup, 1),
            tensor_content=flags.enable_serialization_as_tensor_content,
            batcher=batcher,
        )

    return Manager(
        repository,
        load,
        poll_wait_s=flags.file_system_poll_wait_seconds,
        max_load_retries=flags.max_num_load_retries,
        load_retry_interval_s=flags.load_retry_interval_micros / 1e6,
    )


def listen(flags: argparse.Namespace, repository: Repository) -> grpc.aio.Server:
    """The gRPC server, bound and not yet started."""
    server = grpc.aio.server(
        interceptors=[ThreadLimit(flags.grpc_max_threads)],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            # By default two servers on Linux can share a port, and each gets half of the calls. A
            # server left running by mistake must be an error instead.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction = PredictionService(repository, flags.grpc_max_threads)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(repository), server)
    addresses = [f"0.0.0.0:{flags.port}"] if flags.port else []
    addresses += [f"unix:{flags.grpc_socket_path}"] if flags.grpc_socket_path else []
    if not addresses:
        raise invalid(
            "At least one of server_options.grpc_port or "
            "server_options.grpc_socket_path must be set."
        )
    for address in addresses:
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise tf.errors.UnavailableError(
                None, None, f"Cannot listen on {address}; is another server running there?"
            ) from error
    return server


async def poll_config(path: Path, wait_s: int, repository: Repository) -> NoReturn:
    while True:
        await asyncio.sleep(wait_s)
        try:
            repository.configure(config.read(path))
        except tf.errors.OpError as error:
            log.error("Reading %s again failed: %s", path, error.message)


async def serve(flags: argparse.Namespace) -> NoReturn:
    """Runs until a signal ends the process at once, as TensorFlow Serving's does."""
    repository = Repository(
        labels_for_unavailable=flags.allow_version_labels_for_unavailable_models
    )
    repository.configure(first_config(flags))
    manager = build_manager(flags, repository)
    run_first_session(session_config(flags))
    # Exclude TensorFlow's hundreds of thousands of objects, which live as long as the process, from
    # garbage collection.
    gc.freeze()
    manager.start(_fail)
    # TensorFlow Serving does not listen before the first version of each model is loaded.
    await asyncio.to_thread(repository.wait_until_loaded, list(repository.config), None)
    server = listen(flags, repository)
    await server.start()
    log.info("Running gRPC ModelServer on port %s %s", flags.port, flags.grpc_socket_path)
    if flags.model_config_file and flags.model_config_file_poll_wait_seconds > 0:
        wait_s = flags.model_config_file_poll_wait_seconds
        await poll_config(Path(flags.model_config_file), wait_s, repository)
    await server.wait_for_termination()
    raise AssertionError("only a signal ends the server")


def _fail() -> NoReturn:
    logs.flush()
    os._exit(EXIT_FAILED)


def main() -> NoReturn:
    flags = Flags().parse()
    try:
        settings = LogSettings.load()
    except SettingsError as error:
        sys.exit(str(error))
    logs.configure(settings.log_level, settings.log_format)
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        asyncio.run(serve(flags))
    except tf.errors.OpError as error:
        log.error("Failed to start server. Error: %s", error.message)
        # A load on a C++ thread cannot be interrupted.
        _fail()
    raise AssertionError("only a signal ends the server")


if __name__ == "__main__":
    main()
