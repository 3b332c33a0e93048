"""The fleet of model servers: a connection to each address that discovery reports."""

import asyncio
from functools import partial

import grpc

from ..core.metrics import Metrics
from ..settings import Settings
from .channel import open_channel
from .discovery import Address, Discovery
from .load_balancer import Backends, Target

DRAIN_INTERVAL_S = 0.1
PREDICT = "tensorflow.serving.PredictionService/Predict"


class Fleet(Backends):
    """A target for each address that is known, with its state for one model. Create and close it in
    the same event loop."""

    def __init__(
        self, model: str, settings: Settings, metrics: Metrics, track: str = "stable"
    ) -> None:
        super().__init__([])
        self._labels = (model, track)
        self._settings = settings
        self._ejected = metrics.backend_ejected
        self._open: dict[Address, tuple[Target, grpc.aio.Channel]] = {}
        self._drains: set[asyncio.Task[None]] = set()
        names = [name.strip() for name in settings.backend.split(",")]
        self._discovery = Discovery(names, settings.resolve_interval_s, self._update)
        self._discovering = asyncio.create_task(self._discovery.run())

    async def known(self, timeout_s: float) -> None:
        """Returns as soon as there is a target. Raises NoBackend if there is none."""
        if not self.targets:
            await self._discovery.first(timeout_s)

    async def close(self) -> None:
        self._discovering.cancel()
        for drain in self._drains:
            drain.cancel()
        await asyncio.gather(self._discovering, *self._drains, return_exceptions=True)
        for _, channel in self._open.values():
            await channel.close()

    def _update(self, addresses: list[Address]) -> None:
        for address in self._open.keys() - set(addresses):
            target, channel = self._open.pop(address)
            self._ejected.remove(*self._labels, target.name)
            drain = asyncio.create_task(drain_and_close(target, channel))
            self._drains.add(drain)
            drain.add_done_callback(self._drains.discard)
        for address in addresses:
            if address not in self._open:
                self._open[address] = self._connect(address)
        self.targets = [self._open[address][0] for address in addresses]

    def _connect(self, address: Address) -> tuple[Target, grpc.aio.Channel]:
        channel = open_channel(address.target, self._settings, address.host)
        target = connect(address.name, channel)
        # One that joins others gets requests when its first health check has succeeded.
        target.ejected = bool(self.targets)
        ejected = self._ejected.labels(*self._labels, target.name)
        ejected.set_function(partial(getattr, target, "ejected"))
        return target, channel


async def drain_and_close(target: Target, channel: grpc.aio.Channel) -> None:
    """Completes the calls of a target that gets no more of them; each has a deadline."""
    try:
        while target.outstanding or target.checks:  # noqa: ASYNC110, once per vanished server
            await asyncio.sleep(DRAIN_INTERVAL_S)
    finally:
        await channel.close()


def connect(name: str, channel: grpc.aio.Channel) -> Target:
    """A target whose methods take and return bytes: gRPC would turn a response that cannot be
    parsed into None."""
    return Target(
        name,
        predict=channel.unary_unary(f"/{PREDICT}"),
        status=channel.unary_unary("/tensorflow.serving.ModelService/GetModelStatus"),
        metadata=channel.unary_unary("/tensorflow.serving.PredictionService/GetModelMetadata"),
    )
