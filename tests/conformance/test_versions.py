"""Versions: loading, warm-up, replacement and removal while the server runs."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from tests.conformance.calls import Code, X, refusal
from tests.conformance.case import EMBEDDED, NOT_SEEN, case
from tests.support.inputs import tiny_models
from tests.support.inputs.tiny_models import request
from tests.support.processes.model_server_process import Server, eventually, running


@case(
    "versions.swap",
    "A new version appears under load while a long call runs at the old one",
    "LOADING beside the AVAILABLE old one; no failed request; the long call ends at the old "
    "version, which never shows as UNLOADING, then END",
    "UNLOADING while the long call runs",
)
def test_new_version_takes_over_without_a_failed_request(server: Server, tmp_path: Path) -> None:
    tiny_models.save(tmp_path, 1)
    server.add("swap", tmp_path)
    slow = [request("swap", "sleep", seconds=(0.5, tf.float64))]
    stop = threading.Event()
    seen: list[list[int]] = [[] for _ in range(4)]

    def load(versions: list[int]) -> None:
        while not stop.is_set():
            response = server.predict(request("swap", x=X))
            assert list(response.outputs["y"].float_val) == [2.0, 5.0]
            versions.append(response.model_spec.version.value)

    states = []
    with ThreadPoolExecutor(5) as pool:
        callers = [pool.submit(load, versions) for versions in seen]
        # Under way at version 1 while version 2 takes over.
        long_call = pool.submit(server.predict, request("swap", "sleep", seconds=(4.0, tf.float64)))
        try:
            (tmp_path / "notes").mkdir()
            tiny_models.save(tmp_path, 2, warmup=slow)
            while server.states("swap").get(1) != "END":
                states.append(server.states("swap"))
                time.sleep(0.02)
            assert long_call.result().model_spec.version.value == 1
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    assert {2: "LOADING", 1: "AVAILABLE"} in states
    assert ({2: "AVAILABLE", 1: "UNLOADING"} in states) is EMBEDDED
    assert server.states("swap") == {2: "AVAILABLE", 1: "END"}
    assert server.statuses("swap")[1].status.error_code == 0
    for versions in seen:
        assert set(versions) == {1, 2}
        assert versions == sorted(versions)
    assert refusal(server.predict, request("swap", x=X, version=1)) == (
        Code.NOT_FOUND,
        "Servable not found for request: Specific(swap, 1)",
    )


@case(
    "versions.broken",
    "A new version without saved_model.pb, then one with a corrupt file",
    'END with NOT_FOUND "Could not find SavedModel …" and OUT_OF_RANGE "Read less bytes than '
    'requested"; the old version goes on serving',
)
def test_a_version_that_cannot_be_loaded_does_not_replace_the_old_one(
    server: Server, tmp_path: Path
) -> None:
    tiny_models.save(tmp_path, 1)
    server.add("broken", tmp_path)
    (tmp_path / "2").mkdir()
    server.wait_for("broken", {2: "END", 1: "AVAILABLE"})
    status = server.statuses("broken")[2].status
    assert Code.NOT_FOUND.value[0] == status.error_code
    assert status.error_message.startswith(
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {tmp_path}/2."
    )
    if EMBEDDED:  # the words of its own log
        loading = "{name: broken version: 2}: loading from"
        eventually(lambda: server.log.read_text().count(loading) == 2)
    assert server.predict(request("broken", x=X)).model_spec.version.value == 1

    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "saved_model.pb").write_bytes(b"half a file")
    server.wait_for("broken", {3: "END", 2: "END", 1: "AVAILABLE"})
    assert server.statuses("broken")[3].status.error_code == Code.OUT_OF_RANGE.value[0]
    assert server.statuses("broken")[3].status.error_message == "Read less bytes than requested"

    tiny_models.save(tmp_path, 4)
    server.wait_for("broken", {4: "AVAILABLE", 3: "END", 2: "END", 1: "END"})
    assert server.predict(request("broken", x=X)).model_spec.version.value == 4


@case(
    "versions.removed",
    "The newest version's directory is removed, and comes back",
    "the previous version is loaded; then the newest again",
)
def test_a_removed_version_is_replaced_by_the_previous_one(server: Server, tmp_path: Path) -> None:
    for version in (1, 2):
        tiny_models.save(tmp_path, version)
    server.add("back", tmp_path)
    assert server.states("back") == {2: "AVAILABLE"}
    (tmp_path / "2").rename(tmp_path / "withdrawn")
    server.wait_for("back", {2: "END", 1: "AVAILABLE"})
    (tmp_path / "withdrawn").rename(tmp_path / "2")
    server.wait_for("back", {2: "AVAILABLE", 1: "END"})


@case(
    "warm-up.iterations",
    "`--num_request_iterations_for_warmup=2`",
    f"{NOT_SEEN}; by its source each request runs twice",
)
def test_each_warm_up_request_runs_as_often_as_asked(tmp_path: Path) -> None:
    base = tmp_path / "counted"
    base.mkdir()
    three = request("counted", "count", by=(3, tf.int32))
    tiny_models.save(base, 1, warmup=[three, three])
    flags = (f"--model_base_path={base}", "--model_name=counted")
    with running(tmp_path, *flags, "--num_request_iterations_for_warmup=2") as server:
        response = server.predict(request("counted", "count", by=(0, tf.int32)))
        assert list(response.outputs["calls"].int_val) == [12]


@case(
    "warm-up.before-available",
    "Warm-up requests in `assets.extra`",
    "run before the version is AVAILABLE",
)
def test_warm_up_runs_before_the_version_is_available(server: Server, tmp_path: Path) -> None:
    three = request("warm", "count", by=(3, tf.int32))
    tiny_models.save(tmp_path, 1, warmup=[three, three])
    server.add("warm", tmp_path)
    response = server.predict(request("warm", "count", by=(1, tf.int32)))
    assert list(response.outputs["calls"].int_val) == [7]


@case(
    "warm-up.fails",
    "A warm-up request that fails",
    'UNKNOWN "1 model(s) did not become available: …" with its message; the state is END',
)
def test_failing_warm_up_fails_the_load(server: Server, tmp_path: Path) -> None:
    tiny_models.save(tmp_path, 1, warmup=[request("cold", "nothing", x=X)])
    code, text = refusal(server.add, "cold", tmp_path)
    assert code == Code.UNKNOWN
    assert text == (
        "1 model(s) did not become available: {{{name: cold version: 1} due to error: "
        'FAILED_PRECONDITION: Serving signature key "nothing" not found.}, }'
    )
    assert server.states("cold") == {1: "END"}
    assert refusal(server.predict, request("cold", x=X)) == (
        Code.NOT_FOUND,
        "Servable not found for request: Latest(cold)",
    )
