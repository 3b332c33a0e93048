"""The OpenAPI document: every status, every kind of body, names for code generators."""

from tests.support.processes.gateway_process import GatewayProcess


def test_every_status_and_media_type_is_declared(gateway: GatewayProcess) -> None:
    document = gateway.http.get("/openapi.json").json()
    detect = document["paths"]["/detect"]["post"]
    assert set(detect["responses"]) == {
        "200",
        "400",
        "404",
        "408",
        "413",
        "415",
        "422",
        "503",
        "504",
    }
    assert set(detect["responses"]["200"]["content"]) == {"application/json", "image/jpeg"}
    assert set(detect["requestBody"]["content"]) == {
        "multipart/form-data",
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/avif",
        "application/octet-stream",
        "application/json",
    }
    names = {p["name"] for p in detect["parameters"]}
    assert names == {
        "score_threshold",
        "max_detections",
        "label",
        "format",
        "X-Timeout-Ms",
        "X-Model-Version",
    }
    batch = document["paths"]["/detect/batch"]["post"]
    assert set(batch["responses"]) == {
        "200",
        "400",
        "404",
        "408",
        "413",
        "415",
        "422",
        "503",
        "504",
    }
    assert set(document["paths"]["/readyz"]["get"]["responses"]) == {"200", "503", "504"}
    assert "Problem" in document["components"]["schemas"]
    for response in detect["responses"].values():
        assert "HTTPValidationError" not in str(response)
    assert gateway.http.get("/docs").status_code == 200


def test_names_for_code_generators(gateway: GatewayProcess) -> None:
    """Each operation has an id that is a Python name, a tag and a summary; no parameter is null."""
    document = gateway.http.get("/openapi.json").json()
    calls = [call for methods in document["paths"].values() for call in methods.values()]
    ids = [call["operationId"] for call in calls]
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() for name in ids)
    assert all(call["summary"] and call["tags"] for call in calls)
    own = [call for call in calls if {"detection", "operation"} & set(call["tags"])]
    assert [call["operationId"] for call in own] == [
        *("detect", "detect_batch", "detect_by_model", "detect_batch_by_model"),
        *("model", "models", "model_by_name", "livez", "readyz", "metrics"),
    ]
    assert '{"type":"null"}' not in str(document["paths"]).replace("'", '"').replace(" ", "")
