"""The gRPC channel to a model server: connection options, and TLS if it is configured."""

import json
from pathlib import Path

import grpc

from ..settings import Settings

MIB = 1024 * 1024
OPTIONS = [
    # Uploads are limited by the API, so sending is unlimited here. A detector's response has a few
    # kilobytes; one of megabytes comes from a model that returns raw tensors.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 1 * MIB),
    # Reconnect to a restarted server within a second; gRPC's default is two minutes. The "min" is
    # the timeout of one attempt, handshake included.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Detect a host that vanished during a call. No pings on idle connections: servers close the
    # connections of clients that send too many.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    # Resolve the name again as soon as a connection is lost; the default waits 30 s.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # Retries are made in client.py, which knows the other servers; gRPC's own cost 5 % of a call's
    # CPU.
    ("grpc.enable_retries", 0),
]


def open_channel(name: str, settings: Settings, host: str | None = None) -> grpc.aio.Channel:
    """A channel to the gRPC target `name`; it connects at the first call.

    `host`: the name that was resolved to `name`, for TLS and for proxies between.
    """
    options: list[tuple[str, object]] = list(OPTIONS)
    if host:
        options.append(("grpc.default_authority", host))
    if settings.backend_ca_file is None:
        return grpc.aio.insecure_channel(name, options=options)
    ca, cert, key = (
        Path(file).read_bytes() if file else None
        for file in (
            settings.backend_ca_file,
            settings.backend_cert_file,
            settings.backend_key_file,
        )
    )
    if server_name := settings.backend_server_name or host:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.aio.secure_channel(name, grpc.ssl_channel_credentials(ca, key, cert), options)
