"""Pictures of many kinds, through the gateway and directly; and the same ones for a while."""

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.conformance.calls import pictures
from tests.conformance.case import case
from tests.conformance.conftest import Served
from tests.support.callers.caller import Caller, resident_bytes
from tests.support.inputs.pictures import header_only, picture
from tests.support.inputs.tiny_models import request
from tests.support.oracles.two_decoders import expected_status
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.processes.model_server_process import Server
from tests.support.project import DATA

SECONDS = 60 * float(os.environ.get("CONFORMANCE_MINUTES", "0.05"))
CALLERS = 4


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (16, 16)).save(file, "GIF")
    return file.getvalue()


def corpus() -> dict[str, bytes]:
    """Made here, and where DETECT_TEST_DATA is set every 13th of its corpus."""
    whole = picture(640, 480, quality=95)
    made = {
        "jpeg": whole,
        "png": picture(200, 300, "PNG"),
        "palette": picture(kind="PNG", mode="P"),
        "webp": picture(kind="WEBP"),
        "grey": picture(mode="L"),
        "cmyk": picture(mode="CMYK"),
        "progressive": picture(320, 240, progressive=True),
        "one-pixel": picture(1, 1),
        "wide": picture(2000, 3),
        **{f"orientation-{n}": picture(orientation=n) for n in range(2, 9)},
        "truncated": whole[: len(whole) // 2],
        "half-a-header": whole[:40],
        "no-tables": whole.replace(b"\xff\xdb", b"\xff\xfe"),
        "header-only": header_only(640, 480),
        "too-large": header_only(20_000, 20_000),
        "gif": gif(),
        "rubbish": bytes(range(256)) * 9,
        "empty": b"",
    }
    files = sorted((DATA / "jpeg-corpus").rglob("*.jp*g"))[::13] if DATA else []
    return made | {path.name: path.read_bytes() for path in files}


@case(
    "pictures.gateway",
    "PNG, WebP, grey, CMYK, progressive, turned, truncated and rubbish pictures to the gateway",
    "the same statuses as with the embedded server",
)
def test_statuses_of_the_gateway(served: Served) -> None:
    wrong = []
    with GatewayProcess(backend=served.client.target, model_name=served.model) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200, within_s=60)
        for sender, (name, data) in enumerate(corpus().items()):
            with closing(Caller(gateway.url, sender=sender)) as caller:
                status, body = caller.detect(data)
            if status != expected_status(data):
                wrong.append((name, status, expected_status(data), body))
    assert wrong == []


@case(
    "pictures.outputs",
    "The same pictures directly, compared with the SavedModel called in this process",
    "the same detections as the embedded server's",
)
def test_outputs_equal_the_saved_models(own: Served, small_repository: Path) -> None:
    model = small_repository / own.model / str(own.version)
    loaded = tf.saved_model.load(os.fspath(model)).signatures["serving_default"]
    compared = 0
    for name, data in corpus().items():
        try:
            expected = loaded(image=tf.constant([data]))
        except tf.errors.InvalidArgumentError:
            continue
        response = own.client.predict(request(own.model, image=pictures(data)))
        compared += 1
        for output, value in expected.items():
            found = tf.make_ndarray(response.outputs[output])
            if value.dtype == tf.string:
                assert found.tolist() == value.numpy().tolist(), name
            else:
                np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4, err_msg=name)
    assert compared >= 12


@case(
    "endurance",
    "Four callers, CONFORMANCE_MINUTES of good pictures (0.05 by default)",
    "the same answers throughout; in two minutes 385 to 388 MiB",
)
def test_answers_stay_the_same(served: Served) -> None:
    kinds = [picture(64, 48), picture(300, 200), picture(120, 90, "PNG")]
    right = [outputs(served, data) for data in kinds]
    ended = threading.Event()
    memory: list[int] = []

    def repeat(first: int) -> int:
        number = first
        while not ended.is_set():
            assert outputs(served, kinds[number % 3]) == right[number % 3]
            number += 1
        return number - first

    with ThreadPoolExecutor(CALLERS) as pool:
        callers = [pool.submit(repeat, number) for number in range(CALLERS)]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(SECONDS / 10)
            if isinstance(served.client, Server):
                memory.append(resident_bytes(served.client.process.pid))
        ended.set()
        assert sum(caller.result() for caller in callers) >= CALLERS
    if memory:
        assert memory[-1] <= 1.1 * memory[1], [size // 2**20 for size in memory]


def outputs(served: Served, data: bytes) -> Any:
    response = served.client.predict(request(served.model, image=pictures(data)))
    return [tf.make_ndarray(response.outputs[name]).tolist() for name in ("boxes", "scores")]
