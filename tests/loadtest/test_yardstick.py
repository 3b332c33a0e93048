"""The yardstick of the machine's own variation."""

import threading

from loadtest.yardstick import Yardstick
from tests.support.processes.gateway_process import wait_for


def test_it_measures_from_start_to_stop() -> None:
    measured = Yardstick()
    assert measured.take_ms() is None
    measured.start()
    wait_for(lambda: bool(measured._samples_ms))
    first = measured.take_ms()
    assert first is not None
    assert 0.1 < first < 1000
    measured.stop()
    assert "yardstick" not in {thread.name for thread in threading.enumerate()}
