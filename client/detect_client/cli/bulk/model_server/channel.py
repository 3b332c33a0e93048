"""The gRPC channel to the model servers behind one name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import grpc

from ...options import Stop

ADDRESS = re.compile(r"(?P<scheme>grpcs?)://(?P<authority>[^/]+:\d+)/?|dns:///(?P<name>[^/]+:\d+)")
MIB = 1024 * 1024
OPTIONS: list[tuple[str, object]] = [
    # --max-bytes limits the pictures. An answer has a few kilobytes.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 1 * MIB),
    # Each address of the name gets its share.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.dns_min_time_between_resolutions_ms", 5000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # Finds a host that vanished or hangs during a call: its calls are repeated at another.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.enable_retries", 0),  # client.py repeats, within the picture's time
]


class TLS(NamedTuple):
    """PEM files; None: the system's authorities, no certificate of the client's own."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def open_channel(address: str, tls: TLS) -> grpc.aio.Channel:
    """`grpc://host:port` or `dns:///host:port`, with TLS `grpcs://host:port`. It connects at the
    first call. Raises Stop for another form or a file that cannot be read."""
    match = ADDRESS.fullmatch(address)
    if not match:
        raise Stop(f"--server {address}: give grpc://host:port, or grpcs://host:port for TLS")
    target = f"dns:///{match['authority'] or match['name']}"
    if match["scheme"] != "grpcs":
        if any(tls):
            raise Stop(f"--server {address} is without TLS: certificates need grpcs://host:port")
        return grpc.aio.insecure_channel(target, options=OPTIONS)
    if (tls.cert is None) != (tls.key is None):
        raise Stop("--tls-cert and --tls-key go together")
    try:
        ca, cert, key = (file.read_bytes() if file else None for file in tls)
    except OSError as error:
        raise Stop(f"{error.filename}: {error.strerror}") from error
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.aio.secure_channel(target, credentials, options=OPTIONS)
