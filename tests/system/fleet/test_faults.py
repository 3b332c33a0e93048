"""What breaks around the gateway while callers are at it, and where each request ended."""

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.backend import messages as m
from tests.support.callers.many import REFUSED, Callers, strict
from tests.support.fakes.dns_server import DnsServer
from tests.support.fakes.fake_backend import CAT, DOG, FakeBackend, answer
from tests.support.fakes.tcp_proxy import RESET, TcpProxy
from tests.support.inputs.pictures import picture
from tests.support.processes.backend_process import BackendProcess
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.system.test_end_to_end import served

DEADLINE_S = 1.5
RETRIES = "detect_backend_retries_total"


@contextlib.contextmanager
def ready(*targets: str, **settings: object) -> Iterator[GatewayProcess]:
    """A gateway before these model servers that has found one, with a short deadline."""
    usual = {"deadline_s": DEADLINE_S, "ready_interval_s": 0.3, "ready_timeout_s": 1}
    with GatewayProcess(backend=",".join(targets), **usual | settings) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200, 60)
        yield gateway


def test_the_model_server_is_killed_and_restarted() -> None:
    with BackendProcess() as backend, ready(backend.target) as gateway:
        with Callers(gateway.url) as callers:
            callers.until(200)
            backend.kill()
            callers.until(503)
            assert gateway.http.get("/readyz").status_code == 503
            backend.start()
            callers.until(200, 50)
        callers.balance(gateway, DEADLINE_S)
    assert set(callers.statuses) == {200, 503}
    assert set(callers.reasons) == {"no-backend"}


def test_one_of_two_is_killed_without_a_failed_request() -> None:
    with BackendProcess() as one, BackendProcess() as two, ready(one.target, two.target) as gateway:
        with Callers(gateway.url) as callers:
            callers.until(200, 50)
            one.kill()
            callers.until(200, 100)
            assert gateway.http.get("/readyz").status_code == 200
            ejected = f'detect_backend_ejected{{backend="{one.target}"}}'
            assert gateway.metric(ejected) == 1
            one.start()
            wait_for(lambda: gateway.metric(ejected) == 0)
            two.kill()
            callers.until(200, 100)
        callers.balance(gateway, DEADLINE_S)
        assert gateway.metric(RETRIES) >= 1
    assert set(callers.statuses) == {200}


def test_the_model_server_is_paused_for_longer_than_the_deadline() -> None:
    with BackendProcess() as backend, ready(backend.target) as gateway:
        with Callers(gateway.url) as callers:
            callers.until(200)
            backend.pause()
            callers.until(504, 2 * callers.callers)
            backend.resume()
            callers.until(200, 50)
        callers.balance(gateway, DEADLINE_S)
        assert gateway.metric(RETRIES) == 0
    # 503: after a deadline without any answer, fewer and fewer at a time ask for one.
    assert {200, 504} <= set(callers.statuses) <= {200, 503, 504}
    assert set(callers.reasons) <= {"full", "deadline-exceeded"}


def test_one_of_two_is_paused_and_costs_only_the_calls_that_were_with_it() -> None:
    with BackendProcess() as one, BackendProcess() as two, ready(one.target, two.target) as gateway:
        with Callers(gateway.url) as callers:
            callers.until(200, 50)
            one.pause()
            time.sleep(0.3 + 1 + DEADLINE_S + 1)  # found out, and the calls that were there ended
            with_it = callers.statuses[504]
            time.sleep(2 * DEADLINE_S)
            assert callers.statuses[504] == with_it
            assert gateway.http.get("/readyz").status_code == 200
            one.resume()
            callers.until(200, 50)
        callers.balance(gateway, DEADLINE_S)
    assert set(callers.statuses) <= {200, 504}
    assert callers.statuses[504] <= callers.callers


def test_the_model_server_is_too_slow_for_all_that_come() -> None:
    few: dict[str, object] = {"max_in_flight": 2, "max_queue": 2}
    with BackendProcess(delay_s=0.4) as backend, ready(backend.target, **few) as gateway:
        with Callers(gateway.url, callers=8) as callers:
            callers.until(200, 8)
            callers.until(503, 8)
        callers.balance(gateway, DEADLINE_S)
    assert set(callers.reasons) <= {"full", "deadline-exceeded"}


def test_connections_are_reset() -> None:
    with (
        BackendProcess() as backend,
        TcpProxy(backend.port) as proxy,
        ready(proxy.target) as gateway,
    ):
        with Callers(gateway.url) as callers:
            for _ in range(6):
                callers.until(200, 30)
                proxy.reset()
        callers.balance(gateway, DEADLINE_S)
        assert gateway.metric(RETRIES) >= 1
        assert proxy.connections >= 6
    assert set(callers.reasons) <= {"no-backend"}
    assert callers.statuses[200] > 10 * callers.statuses[503]  # most of them are asked again


def changed(name: str, **fields: Any) -> bytes:
    """An answer of two rows, one of whose tensors has other values or another type."""
    response = answer([DOG, CAT])
    response.outputs[name].Clear()
    for field, value in fields.items():
        if isinstance(value, list):
            getattr(response.outputs[name], field).extend(value)
        else:
            setattr(response.outputs[name], field, value)
    return bytes(response.SerializeToString())


def test_the_model_server_answers_garbage() -> None:
    box = (1.0, 2.0, 3.0, 4.0)
    garbage = [
        *(changed(name) for name in answer([]).outputs),
        *(changed("num_detections", int_val=[count]) for count in (-1, 101, 2**31 - 1)),
        changed("num_detections", int_val=[2, 2]),
        changed("num_detections", int64_val=[2]),
        changed("num_detections", float_val=[2.0]),
        changed("boxes", double_val=[1.0] * 400),
        changed("boxes", float_val=[1.0] * 7),
        changed("boxes", dtype=2, tensor_content=bytes(3200)),  # DT_DOUBLE
        changed("classes", dtype=9, tensor_content=bytes(800)),  # DT_INT64
        changed("labels", tensor_content=b"\xff" * 64),
        answer([("dog", 1, 0.5, (nan, *box[1:]))]).SerializeToString(),
        answer([("dog", 1, nan, box)], raw=True).SerializeToString(),
        answer([("dog", 1, inf, box)]).SerializeToString(),
        answer([DOG] * 60_000).SerializeToString(),  # more than a message may have
        b"no protobuf",
        b"",
    ]
    with FakeBackend() as backend, ready(backend.target) as gateway:
        for number, bad in enumerate(garbage):
            backend.reply = lambda _, bad=bad: bad  # type: ignore[misc]
            for query in ("", "?score_threshold=0", "?format=image"):
                sent = gateway.http.post(f"/detect{query}", files={"image": picture()})
                assert sent.status_code == 503, (number, sent.text)
                assert strict(sent.content)["type"] == "urn:problem:backend-failed", number
        reason = 'detect_rejected_total{reason="backend-failed"}'
        assert gateway.metric(reason) == 3 * len(garbage)
        # Odd, and still detections.
        far = answer([("d\xf6g" * 500, -1, 1.0, (-inf, -inf, inf, inf))])
        far.outputs["labels"].string_val[0] = b"\xff\x00dog"
        backend.reply = lambda _: far
        sent = gateway.http.post("/detect", files={"image": picture(64, 48)})
        (found,) = strict(sent.content)["detections"]
        assert found["box"] == {"x_min": 0, "y_min": 0, "x_max": 64, "y_max": 48}
        assert (found["label"], found["class_id"]) == ("\ufffd\0dog", -1)
        drawn = gateway.http.post("/detect?format=image", files={"image": picture()})
        assert drawn.status_code == 200
        assert gateway.metric('detect_requests_total{code="500",route="/detect"}') == 0


def states(target: str, model: str) -> dict[int, int]:
    """Version -> its state, as the model server says."""
    with grpc.insecure_channel(target) as channel:
        status = channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            m.GetModelStatusRequest.SerializeToString,
            m.GetModelStatusResponse.FromString,
        )
        request = m.GetModelStatusRequest(model_spec=m.ModelSpec(name=model))
        versions = status(request, timeout=5).model_version_status
    return {one.version: one.state for one in versions}


@pytest.mark.slow
def test_versions_come_and_a_bad_one_does_not(small_repository: Path, tmp_path: Path) -> None:
    """The real protocol of loading: the old one answers until the new one does, and for good where
    the new one cannot be loaded."""
    models, first = tmp_path / "models", small_repository / "small" / "1"
    shutil.copytree(first, models / "small" / "1")

    def comes(version: int, like: Path) -> None:
        shutil.copytree(like, tmp_path / "coming")
        (tmp_path / "coming").rename(models / "small" / str(version))

    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "saved_model.pb").write_bytes(b"no model")
    with served("small", models, "--max_num_load_retries=0", deadline_s=20) as gateway:
        with Callers(gateway.url, callers=4, pause_s=0.1) as callers:
            callers.until(200)
            assert set(callers.versions) == {1}
            comes(2, first)
            wait_for(lambda: callers.versions[2] >= 10, 60)
            comes(3, bad)
            target = str(gateway._settings["backend"])
            wait_for(lambda: states(target, "small").get(3) == m.ModelVersionStatus.END, 60)
            callers.until(200, 20)
            assert gateway.metric('detect_model_info{name="small",version="2"}') == 1
        callers.balance(gateway, 20)
    assert set(callers.statuses) == {200}
    assert set(callers.versions) == {1, 2}


def test_the_gateway_is_told_to_stop() -> None:
    with BackendProcess(delay_s=0.2) as backend, ready(backend.target, deadline_s=10) as gateway:
        with Callers(gateway.url, keep_alive=False) as callers:
            callers.until(200)
            os.kill(gateway.process.pid, signal.SIGTERM)
            assert gateway.process.wait(20) == 0
            callers.until(REFUSED, callers.callers)
        finished = [line["status"] for line in gateway.log("request")]
        assert gateway.log("stopped")
    assert callers.sent == callers.statuses.total()
    assert set(callers.statuses) == {200, REFUSED}
    # Whatever had come in was answered, and the answer arrived.
    assert finished == [200] * callers.statuses[200]


def test_clients_die_while_they_send() -> None:
    dying = 30
    with BackendProcess() as backend, ready(backend.target) as gateway:
        gone = 'detect_requests_total{code="499",route="/detect"}'
        with Callers(gateway.url) as callers:
            for number in range(dying):
                half_an_upload(gateway, reset=number % 2 == 0)
            callers.until(200, 20)
            wait_for(lambda: gateway.metric(gone) == dying)
        callers.balance(gateway, DEADLINE_S)
    assert set(callers.statuses) == {200}


def half_an_upload(gateway: GatewayProcess, reset: bool) -> None:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = "POST /detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
        connection.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode() + bytes(50_000))
        time.sleep(0.05)  # or the reset overtakes the data
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def test_the_model_server_moves_to_another_address() -> None:
    with BackendProcess() as old, DnsServer(old.host) as dns:
        name = f"dns://{dns.authority}/models.test:{old.port}"
        with BackendProcess("127.0.0.2", old.port) as new, ready(name) as gateway:
            with Callers(gateway.url) as callers:
                callers.until(200)
                dns.addresses = [new.host]
                old.kill()
                callers.until(200, 50)
            callers.balance(gateway, DEADLINE_S)
            assert dns.queries >= 2
    assert set(callers.reasons) <= {"no-backend"}
