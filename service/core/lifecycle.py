"""Where the process is in its life: serving or draining, and the probe paths that report it."""

import os
from dataclasses import dataclass

# Polled every few seconds: kept out of the log, and answered beyond `max_connections`.
PROBE_PATHS = frozenset(
    {"/livez", "/readyz", "/metrics", "/ping", "/v2/health/live", "/v2/health/ready"}
    | {os.environ.get("AIP_HEALTH_ROUTE", "/ping")}  # Vertex AI's own path
)


@dataclass
class Lifecycle:
    """Shared by the process, the protocol and the routes; `__main__` sets `draining` on SIGTERM."""

    draining: bool = False
