"""Labels on a drawn picture: apart from each other, and inside it."""

import pytest
from detect_client.drawing import draw
from detect_client.results import Box, Detection, Result
from PIL import ImageDraw

from tests.support.inputs.pictures import picture


def test_labels_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, float, float, float]] = []
    text = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, at: tuple[float, float], *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        words, _, font = args
        drawn.append(self.textbbox(at, words, font=font, stroke_width=kwargs["stroke_width"]))
        text(self, at, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    boxes = [Box(100.0 + n, 100.0 + n, 400.0 + n, 350.0 + n) for n in range(5)]
    detections = [Detection("dog", 1, 0.9 - n / 10, box) for n, box in enumerate(boxes)]
    draw(Result(640, 480, detections, "m", 1, picture=picture(640, 480)))
    assert len(drawn) >= 3
    for n, a in enumerate(drawn):
        assert a[0] >= 0 <= a[1]
        assert a[2] <= 640 + 1
        assert a[3] <= 480 + 1
        for b in drawn[:n]:
            across = min(a[2], b[2]) - max(a[0], b[0])
            down = min(a[3], b[3]) - max(a[1], b[1])
            assert across <= 1 or down <= 1, (a, b)
