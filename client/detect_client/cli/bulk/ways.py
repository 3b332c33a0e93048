"""The way to the model: through the gateway, or straight to model servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from ...async_client import AsyncClient
from ..options import Options, Stop

if TYPE_CHECKING:
    from .model_server.client import ModelServer

Way = Union[AsyncClient, "ModelServer"]


def open_way(options: Options) -> Way:
    """With `--server` straight to it, else through the gateway at `--url`."""
    if options.server is None:
        return AsyncClient(
            options.url, key=options.key, model=options.model, timeout_s=options.timeout_s
        )
    try:
        from .model_server.channel import TLS
        from .model_server.client import ModelServer
    except ImportError as error:
        raise Stop("--server needs gRPC and Pillow: pip install 'detect-client[grpc]'") from error
    tls = TLS(options.tls_ca, options.tls_cert, options.tls_key)
    assert options.model is not None  # checked with the command line
    return ModelServer(options.server, options.model, tls=tls, timeout_s=options.timeout_s)
