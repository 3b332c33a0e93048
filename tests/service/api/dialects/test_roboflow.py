"""`format=roboflow`."""

import httpx

from tests.support.inputs.pictures import picture


def test_centres_and_cocos_words(http: httpx.Client) -> None:
    response = http.post("/detect?format=roboflow", files={"image": picture()})
    content = response.json()
    assert content["image"] == {"width": 64, "height": 48}
    dog, bike = content["predictions"]
    assert (dog["x"], dog["y"], dog["width"], dog["height"]) == (35.125, 34.25, 49.75, 27.5)
    assert (dog["class"], dog["class_id"], dog["confidence"]) == ("dog", 16, 0.75)
    assert bike["class"] == "motorcycle"
    assert dog["detection_id"] != bike["detection_id"]
    assert content["inference_id"] == response.headers["x-request-id"]
    assert 0 < content["time"] < 10
