"""How a model server is connected to: gRPC's options, and TLS where it is asked for."""

import json
from pathlib import Path

import grpc

from ..settings import Settings

MIB = 1024 * 1024
OPTIONS = [
    # A picture is limited at the edge, so sending is not limited again; an answer is some kilobytes
    # of boxes, and one of megabytes is another model's raw tensors.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 1 * MIB),
    # A server that comes back is found within a second, not within gRPC's two minutes. The "min" is
    # how long one attempt may take, handshake included.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A machine that vanished is noticed while a call waits for it. Servers punish pings on idle
    # connections, so there are none.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # A name is resolved anew when a connection is lost; not 30 s later.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # We retry ourselves: it knows no other target, and its bookkeeping is 5 % of a call's CPU.
    ("grpc.enable_retries", 0),
]


def channel(name: str, settings: Settings) -> grpc.aio.Channel:
    if settings.backend_ca_file is None:
        return grpc.aio.insecure_channel(name, options=OPTIONS)
    ca, cert, key = (
        Path(file).read_bytes() if file else None
        for file in (
            settings.backend_ca_file,
            settings.backend_cert_file,
            settings.backend_key_file,
        )
    )
    options = list(OPTIONS)
    if settings.backend_server_name:
        options.append(("grpc.ssl_target_name_override", settings.backend_server_name))
    return grpc.aio.secure_channel(name, grpc.ssl_channel_credentials(ca, key, cert), options)
