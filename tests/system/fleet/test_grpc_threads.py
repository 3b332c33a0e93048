"""The gateway with its defaults in front of a model server with few gRPC threads, 16 callers.

A server refuses what exceeds its threads, health checks included. `pytest -rP` prints the table of
docs/deploy/tensorflow-serving.md.
"""

import sys
import time
from pathlib import Path

import pytest

from service.settings import Settings
from tests.support.callers.many import Callers
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.processes.whole_service import whole_service

CALLERS = Settings.model_fields["max_in_flight"].default
ENOUGH = CALLERS + 2  # one for the health check, one that waits for the next call
READINGS = 20  # of /readyz
SECONDS = 3


def readings(gateway: GatewayProcess) -> list[int]:
    statuses = []
    for _ in range(READINGS):
        statuses.append(gateway.http.get("/readyz").status_code)
        time.sleep(SECONDS / READINGS)
    return statuses


@pytest.mark.slow
@pytest.mark.parametrize("threads", [8, 16, 17, 18, 64])
def test_requests_beyond_the_servers_threads(
    threads: int, small_repository: Path, tmp_path: Path
) -> None:
    flag = f"--grpc_max_threads={threads}"
    with whole_service(tmp_path, small_repository, "small", flag) as (gateway, _):
        with Callers(gateway.url, callers=CALLERS, pause_s=0) as callers:
            ready = readings(gateway)
        warnings = [line for line in gateway.log() if "--grpc_max_threads" in str(line)]
    refused = callers.statuses[503]
    sys.stdout.write(
        f"{threads} threads: {refused} of {callers.statuses.total()} requests refused, "
        f"/readyz failed {READINGS - ready.count(200)} of {READINGS} times, "
        f"{len(warnings)} warnings\n"
    )
    assert set(callers.statuses) <= {200, 503}
    assert ready == [200] * READINGS
    assert set(callers.reasons) <= {"full"}
    assert (refused > 0) is (threads <= CALLERS)
    if refused:
        assert len(warnings) == 1
    else:  # with one thread fewer than enough, a health check may have been refused
        assert len(warnings) <= (threads < ENOUGH)
