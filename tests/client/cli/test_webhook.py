"""The webhook: at most one call in a while for each label."""

import json

import pytest
from detect_client.cli.webhook import Webhook
from detect_client.results import Box, Detection, Result

from tests.support.fakes.http_server import HttpServer
from tests.support.project import free_port


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def result(*labels: str) -> Result:
    found = [Detection(label, 0, 0.9, Box(1.0, 2.0, 3.0, 4.0)) for label in labels]
    return Result(10, 10, found, "m", 1)


def test_a_label_is_reported_once_until_its_cooldown_is_over() -> None:
    clock = Clock()
    with HttpServer(lambda _: (204, {}, b"")) as server:
        hook = Webhook(server.url, ["person", "dog"], 60, "door", clock)
        for seconds, labels in [
            (0, ("cat",)),
            (1, ("person", "person")),
            (30, ("person", "dog")),
            (60.9, ("person",)),
            (61, ("person", "dog")),
        ]:
            clock.now = seconds
            hook(result(*labels))
        hook.close()
        events = [json.loads(request.body) for request in server.requests]
    assert [event["label"] for event in events] == ["person", "dog", "person"]
    assert events[0]["box"] == {"x_min": 1.0, "y_min": 2.0, "x_max": 3.0, "y_max": 4.0}
    assert (events[0]["source"], len(events[0]["detections"])) == ("door", 2)


def test_a_webhook_that_fails_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    hook = Webhook(url, ["person"], 60, "door")
    hook(result("person"))
    hook.close()
    assert f"webhook {url}: " in capsys.readouterr().err
