"""Discovery: the model servers' addresses, where a `dns:///` name is resolved every few seconds."""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

from ..core import logs
from ..core.errors import NoBackend

# gRPC resolves other forms, such as one with a name server, `dns://10.0.0.2/host:port`.
NAME = re.compile(r"dns:(?:///)?\[?(?P<host>[^/\[\]]+?)\]?:(?P<port>\d+)")
# Until a name has been resolved once, nothing can be served.
FIRST_INTERVAL_S = 0.5


class Address(NamedTuple):
    """`name` for logs and metrics; `target`: gRPC's; `host`: the name that was resolved, if any."""

    name: str
    target: str
    host: str | None = None


Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """The system's resolver: hosts file, then DNS. Raises OSError.

    Either IPv4 or IPv6: a server with an address of each kind is still one server, and TensorFlow
    Serving listens on IPv4 alone.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family = socket.AF_INET if any(f[0] == socket.AF_INET for f in found) else socket.AF_INET6
    return sorted({str(f[4][0]) for f in found if f[0] == family})


class Discovery:
    """Reports the addresses of `names` to `changed`: at once those that need no resolver, the
    others while `run` runs."""

    def __init__(
        self,
        names: Iterable[str],
        interval_s: float,
        changed: Callable[[list[Address]], None],
        resolve: Resolve = resolve,
    ) -> None:
        self._interval_s, self._changed, self._resolve = interval_s, changed, resolve
        matches = {name: NAME.fullmatch(name) for name in names}
        self._names = {n: (m["host"], int(m["port"])) for n, m in matches.items() if m}
        # In the order of the setting; empty for a name that has not been resolved yet.
        self._addresses = {n: [] if m else [Address(n, n)] for n, m in matches.items()}
        self._failed: set[str] = set()
        self._first = asyncio.Event()
        self._report()

    async def run(self) -> None:
        while self._names:
            await asyncio.gather(*map(self._look_up, self._names))
            self._first.set()
            known = all(self._addresses.values())
            await asyncio.sleep(self._interval_s if known else FIRST_INTERVAL_S)

    async def first(self, timeout_s: float) -> None:
        """Waits for the first look-up. Raises NoBackend if it gave no address."""
        if self._names:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._first.wait(), timeout_s)
        if not any(self._addresses.values()):
            raise NoBackend("The model server's name has no address.")

    async def _look_up(self, name: str) -> None:
        host, port = self._names[name]
        try:
            hosts = await self._resolve(host, port)
        except OSError as error:
            self._fail(name, str(error))
            return
        if not hosts:
            self._fail(name, "no address")
            return
        self._failed.discard(name)
        ips = [(f"[{ip}]", "ipv6") if ":" in ip else (ip, "ipv4") for ip in hosts]
        tls_name = host.rstrip(".")
        addresses = [Address(f"{ip}:{port}", f"{kind}:{ip}:{port}", tls_name) for ip, kind in ips]
        if addresses != self._addresses[name]:
            self._addresses[name] = addresses
            logs.event("backend addresses", backend=name, addresses=[a.name for a in addresses])
            self._report()

    def _fail(self, name: str, cause: str) -> None:
        """The last addresses stay: their health checks say which of them still work."""
        if name not in self._failed:
            self._failed.add(name)
            logs.event("backend name not resolved", logging.WARNING, backend=name, cause=cause)

    def _report(self) -> None:
        addresses = [address for known in self._addresses.values() for address in known]
        self._changed(list({address.target: address for address in addresses}.values()))
