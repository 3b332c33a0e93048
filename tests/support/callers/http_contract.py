"""What the tests of the HTTP contract share: requests, the usual response, problem documents."""

import httpx

LIMIT = 200_000  # DETECT_MAX_UPLOAD_BYTES of their gateway


def form(*pictures: bytes, name: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    return [(name, (f"{i}.jpg", data)) for i, data in enumerate(pictures)]


def problem(response: httpx.Response, status: int, kind: str) -> str:
    """Checks the whole problem; returns its sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found = response.json()
    assert found["type"] == f"urn:problem:{kind}"
    assert found["status"] == status
    assert found["request_id"] == response.headers["x-request-id"]
    assert set(found) == {"type", "title", "status", "detail", "request_id"}
    return str(found["detail"])


EXPECTED = {
    "model": {"name": "yolov4", "version": 3},
    "image": {"width": 64, "height": 48},
    "detections": [
        {
            "label": "dog",
            "class_id": 16,
            "score": 0.75,
            "box": {"x_min": 10.25, "y_min": 20.5, "x_max": 60.0, "y_max": 48.0},
        },
        {
            "label": "cat",
            "class_id": 15,
            "score": 0.5,
            "box": {"x_min": 0.0, "y_min": 3.0, "x_max": 64.0, "y_max": 40.0},
        },
    ],
}
