"""Model servers behind one DNS name, under load: servers join, one is killed, one hangs.

The gateway resolves the name as everywhere, through the C library; only its /etc/resolv.conf is one
that a mount namespace shows it, with a name server of the test's own.
"""

import os
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.callers.many import Callers
from tests.support.fakes.dns_server import DnsServer
from tests.support.processes.backend_process import BackendProcess
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.project import free_port

NAME_SERVER = ("127.0.0.99", 53)
DEADLINE_S = 2
WINDOW_S = 8
LAUNCHER = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"')

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"]).returncode != 0,
        reason="needs root, for a resolv.conf and port 53 of its own",
    ),
]


class FleetGateway(GatewayProcess):
    def __init__(self, resolv_conf: Path, port: int) -> None:
        resolv_conf.write_text(f"nameserver {NAME_SERVER[0]}\noptions timeout:1 attempts:1\n")
        self.launcher = (*LAUNCHER, str(resolv_conf))
        super().__init__(
            backend=f"dns:///models.test.:{port}",
            resolve_interval_s=2,
            ready_interval_s=0.3,
            ready_timeout_s=1,
            deadline_s=DEADLINE_S,
        )


def shares(callers: Callers) -> list[float]:
    """Each server's calls in a window, as a multiple of an even share."""
    before = Counter(callers.versions)
    time.sleep(WINDOW_S)
    calls = Counter(callers.versions) - before
    return [count * len(calls) / calls.total() for count in calls.values()]


def is_even(callers: Callers, servers: int) -> bool:
    found = shares(callers)
    print(servers, sorted(round(share, 3) for share in found))  # noqa: T201, the figures
    return len(found) == servers and all(abs(share - 1) <= 0.1 for share in found)


def test_servers_join_one_is_killed_and_one_hangs(tmp_path: Path) -> None:
    port = free_port()
    servers = [BackendProcess(f"127.0.0.{n}", port, version=n) for n in range(2, 7)]
    with DnsServer(*(server.host for server in servers[:3]), at=NAME_SERVER) as dns:
        for server in servers[:3]:
            server.start()
        try:
            with FleetGateway(tmp_path / "resolv.conf", port) as gateway:
                wait_for(lambda: gateway.http.get("/readyz").status_code == 200, 20)
                with Callers(gateway.url, callers=8, pause_s=0.01) as callers:
                    callers.until(200, 50)
                    assert is_even(callers, 3)
                    for server in servers[3:]:
                        server.start()
                    dns.addresses = [server.host for server in servers]
                    time.sleep(10)
                    assert is_even(callers, 5)
                    servers[0].kill()
                    time.sleep(2)
                    assert is_even(callers, 4)
                    assert set(callers.statuses) == {200}  # what was with it was asked again
                    servers[1].pause()
                    time.sleep(0.3 + 1 + DEADLINE_S + 1)
                    with_it = callers.statuses[504]
                    assert is_even(callers, 3)
                    dns.addresses = [server.host for server in servers[2:]]
                    time.sleep(4)
                    assert callers.statuses[504] == with_it <= callers.callers
                callers.balance(gateway, DEADLINE_S)
                print(callers.statuses)  # noqa: T201
                page = gateway.http.get("/metrics").text
                assert page.count("\ndetect_backend_ejected{") == 3
                assert set(callers.statuses) <= {200, 504}
        finally:
            for server in servers:
                if hasattr(server, "_process") and server is not servers[0]:
                    server.kill()
