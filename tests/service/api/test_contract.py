"""What a running gateway answers against its own document, for data that the document allows and
for data that it forbids: no status, content type or schema that is not declared."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis.openapi import media_type
from schemathesis.specs.openapi.checks import ignored_auth

from service.api.app import create_app
from service.api.openapi import ANY
from service.api.schemas import Problem
from service.core.lifecycle import Lifecycle
from service.core.metrics import Metrics
from service.detection.imaging.image import MEDIA_TYPES
from service.settings import Settings
from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess

SEED = 20261123
EXAMPLES = 20  # of each call and kind; more are in the slow test
KEY = "k" * 43


def pictures(kind: str) -> st.SearchStrategy[bytes]:
    return st.builds(picture, st.integers(1, 40), st.integers(1, 40), st.just(kind))


for name in MEDIA_TYPES:
    media_type(name, pictures(name.removeprefix("image/").upper()))
media_type(ANY, pictures("PNG"))
schemathesis.openapi.format(
    "byte", pictures("JPEG").map(lambda data: base64.b64encode(data).decode())
)


@schemathesis.hook
def filter_case(_: object, case: schemathesis.Case[Any]) -> bool:
    """HTTP ignores headers that it does not know; schemathesis takes them for a violation."""
    return not any("unknown-property" in name for name in case.headers or ())


def document(examples: int, asked: Settings | None = None) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_dict(
        create_app(asked or Settings(), Metrics(), Lifecycle()).openapi(),
        config=schemathesis.Config.from_dict(
            {
                "seed": SEED,
                "generation": {"max-examples": examples, "database": "none"},
                "checks": {
                    # 404: a version that is not served.
                    # Who waits for one millisecond gets the 504 that is declared. A 5xx that is
                    # not is an undeclared status.
                    "not_a_server_error": {"enabled": False},
                    "positive_data_acceptance": {"expected-statuses": [200, 404, 504]},
                    "negative_data_rejection": {
                        "expected-statuses": [400, 401, 404, 405, 413, 415, 422, 503, 504]
                    },
                },
                # Text parts of a form have no types: 0 and "0" are the same bytes.
                "operations": [
                    {
                        "include-tag": "DeepStack",
                        "checks": {"negative_data_rejection": {"enabled": False}},
                    }
                ],
            }
        ),
    )


brief, long = document(EXAMPLES), document(200)
statuses: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


@pytest.fixture(scope="module")
def gateway(backend: FakeBackend) -> Iterator[GatewayProcess]:
    with GatewayProcess(backend=backend.target) as process:
        yield process


def test_the_document_is_the_running_gateways(gateway: GatewayProcess) -> None:
    assert gateway.http.get("/openapi.json").json() == brief.raw_schema


@brief.parametrize()
def test_contract(case: schemathesis.Case[Any], gateway: GatewayProcess) -> None:
    response = case.call_and_validate(gateway.url)
    statuses[case.path, response.status_code] += 1


def test_contract_was_seen_from_both_sides() -> None:
    """What was generated reached the detections, and what refuses it."""
    if not statuses:
        pytest.skip("counts what test_contract saw")
    for path in ("/detect", "/detect/batch"):
        assert statuses[path, 200] >= EXAMPLES / 4, statuses
        assert statuses[path, 422] >= EXAMPLES / 4, statuses
        assert statuses[path, 415] >= 1, statuses


@pytest.mark.slow
@long.parametrize()
def test_contract_at_length(case: schemathesis.Case[Any], gateway: GatewayProcess) -> None:
    case.call_and_validate(gateway.url)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes replaced, inserted or taken away, anywhere."""
    data = draw(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 40)) :]
    return data


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n%s\r\n--b--\r\n'
)
SMALL = st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]).flatmap(pictures)


@seed(SEED)
@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.tuples(st.just("/detect"), st.just("image/jpeg"), damaged(SMALL)),
        st.tuples(
            st.sampled_from(["/detect", "/detect/batch"]),
            st.sampled_from(["multipart/form-data; boundary=b", "multipart/form-data; boundary=é"]),
            damaged(SMALL.map(lambda data: FORM % data)),
        ),
    )
)
def test_damaged_bodies_are_answered_as_declared(
    gateway: GatewayProcess, request_: tuple[str, str, bytes]
) -> None:
    path, content_type, body = request_
    headers = {"content-type": content_type.encode()}
    response = gateway.http.post(path, content=body, headers=headers)  # type: ignore[arg-type]
    declared = brief.raw_schema["paths"][path]["post"]["responses"]
    assert str(response.status_code) in set(declared) - {"503", "504"}, response.text
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"
        Problem.model_validate_json(response.content, strict=True)


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"a {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    return path


def test_a_document_with_keys_is_kept_too(backend: FakeBackend, keys_file: Path) -> None:
    """The call without its key, and with another, is refused as the document says."""
    keyed = document(1, Settings(api_keys_file=keys_file))
    with GatewayProcess(backend=backend.target, api_keys_file=keys_file) as gateway:
        for path in ("/detect", "/detect/batch"):
            body: Any = {"image": picture() if path == "/detect" else [picture()]}
            case = keyed[path]["POST"].Case(body=body, media_type="multipart/form-data")
            with_key = {"Authorization": f"Bearer {KEY}"}
            response = case.call_and_validate(
                gateway.url, headers=with_key, additional_checks=[ignored_auth]
            )
            assert response.status_code == 200
            assert case.call_and_validate(gateway.url).status_code == 401
        refused = [line for line in gateway.log("request") if line["status"] == 401]
        assert len(refused) >= 4
