"""Server-side batching: pictures of several callers in one batch, and a full queue."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.conformance.calls import Code, X, pictures, refusal
from tests.conformance.case import case
from tests.support.callers.caller import Caller
from tests.support.inputs import tiny_models
from tests.support.inputs.pictures import picture
from tests.support.inputs.tiny_models import request
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.processes.model_server_process import Server, running
from tests.support.processes.whole_service import batching_flags

BATCHING = """
max_batch_size { value: 4 }
batch_timeout_micros { value: 500000 }
max_enqueued_batches { value: 2 }
num_batch_threads { value: 1 }
"""
GOOD = [picture(8 * n, 16) for n in range(1, 5)]
TRUNCATED = picture(640, 480)[:700]
FULL = (
    "The batch scheduling queue to which this task was submitted is full; "
    "currently 2 batches enqueued and max_enqueued_batches is 2"
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def batching(tmp_path_factory: pytest.TempPathFactory, small_repository: Path) -> Iterator[Server]:
    """Serves `tiny` and the detector `small`, in batches of four."""
    base = tmp_path_factory.mktemp("batching")
    tiny_models.save(base, 1)
    flags = (f"--model_base_path={base}", "--model_name=tiny", "--grpc_max_threads=80")
    with running(base, *flags, *batching_flags(base, BATCHING)) as server:
        server.models["tiny"] = {"base_path": str(base)}
        server.add("small", small_repository / "small")
        yield server


def measure(server: Server, *encoded: bytes) -> Any:
    """Heights and widths, or code and message."""
    try:
        response = server.predict(request("tiny", "measure", image=pictures(*encoded)))
    except grpc.RpcError as error:
        return error.code(), error.details()
    return list(response.outputs["sizes"].int_val)


@case(
    "batching.bad-neighbour",
    "Three good pictures and a truncated one, each from a caller of its own, in one batch",
    "all four fail, INVALID_ARGUMENT, with the same message",
)
def test_damaged_picture_fails_the_whole_batch(batching: Server) -> None:
    with ThreadPoolExecutor(4) as callers:

        def together(*encoded: bytes) -> list[Any]:
            return list(callers.map(lambda data: measure(batching, data), encoded))

        assert together(*GOOD) == [[16, 8], [16, 16], [16, 24], [16, 32]]
        answers = together(*GOOD[:3], TRUNCATED)
    assert [code for code, _ in answers] == [Code.INVALID_ARGUMENT] * 4
    assert len({text for _, text in answers}) == 1
    assert measure(batching, *GOOD[:2]) == [16, 8, 16, 16]


@case(
    "batching.output-filter",
    "Two calls for some of a signature's outputs at the same time, one with a truncated picture",
    "each runs by itself: OK and INVALID_ARGUMENT",
)
def test_calls_for_some_of_the_outputs_are_not_batched(batching: Server) -> None:
    def scores(data: bytes) -> Code:
        asked = request("small", image=pictures(data))
        asked.output_filter.append("scores")
        future = batching.prediction.Predict.future(asked, timeout=60)
        return Code(future.code())

    with ThreadPoolExecutor(2) as callers:
        for _ in range(5):
            codes = list(callers.map(scores, [GOOD[0], TRUNCATED]))
            assert codes == [Code.OK, Code.INVALID_ARGUMENT]


@case(
    "batching.scalar-output",
    "A signature with an output that has no batch dimension",
    'FAILED_PRECONDITION "Batched output tensor has 0 dimensions"',
)
def test_output_without_a_batch_dimension(batching: Server) -> None:
    assert refusal(batching.predict, request("tiny", x=X)) == (
        Code.FAILED_PRECONDITION,
        "Batched output tensor has 0 dimensions",
    )


@case(
    "batching.queue-full",
    "More calls than the running batch and `max_enqueued_batches` take",
    f'UNAVAILABLE "{FULL}"',
)
def test_full_queue_is_unavailable(batching: Server) -> None:
    asked = request("small", image=pictures(picture(2000, 2000)))
    calls = [batching.prediction.Predict.future(asked, timeout=60) for _ in range(60)]
    codes = {call.code() for call in calls}
    assert codes == {Code.OK, Code.UNAVAILABLE}
    assert {call.details() for call in calls if call.code() == Code.UNAVAILABLE} == {FULL}


@case(
    "batching.gateway",
    "The same through the gateway: four callers with good pictures, one with truncated ones",
    "every good picture 200, every truncated one 400",
)
def test_gateway_shields_good_pictures(batching: Server) -> None:
    with (
        GatewayProcess(backend=batching.target, model_name="small", max_in_flight=8) as gateway,
        ThreadPoolExecutor(5) as pool,
    ):
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200, within_s=60)

        def repeated(data: bytes) -> set[int]:
            with closing(Caller(gateway.url)) as caller:
                return {caller.detect(data)[0] for _ in range(10)}

        statuses = list(pool.map(repeated, [*GOOD, TRUNCATED]))
    assert statuses == [{200}] * 4 + [{400}]
