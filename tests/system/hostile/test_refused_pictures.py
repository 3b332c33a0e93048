"""What a refused picture leaves behind in the gateway: nothing."""

from contextlib import closing
from typing import Any

import grpc

from tests.support.callers.caller import Caller, resident_bytes
from tests.support.fakes.fake_backend import FakeBackend, Refuse
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess


def refuse(_: bytes) -> Any:
    raise Refuse(grpc.StatusCode.INVALID_ARGUMENT)


def test_a_refused_picture_is_not_kept_until_garbage_is_collected() -> None:
    """An exception that is in a cycle with a frame keeps that frame's picture: with collections
    as rare as the gateway makes them, thousands of pictures would be gigabytes."""
    comment = b"\xff\xfe" + (0xFFFF).to_bytes(2, "big") + bytes(0xFFFD)
    whole = picture(64, 48)
    data = whole[:2] + 40 * comment + whole[2 : len(whole) // 2]
    with FakeBackend(refuse) as backend, GatewayProcess(backend=backend.target) as gateway:
        with closing(Caller(gateway.url)) as caller:
            for _ in range(10):
                assert caller.detect(data)[0] == 400
            before = resident_bytes(gateway.process.pid)
            for _ in range(60):
                assert caller.detect(data)[0] == 400
            grown = resident_bytes(gateway.process.pid) - before
        assert grown < 10 * len(data), f"{grown / len(data):.0f} pictures are kept"
