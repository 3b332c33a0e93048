"""The runs through the gateway itself, before a backend whose answers are known."""

from pathlib import Path

from loadtest.__main__ import main
from tests.support.fakes.fake_backend import FakeBackend, answer
from tests.support.fakes.load_target import run_json
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess


def test_every_run_through_the_gateway(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(5):
        (images / f"{number}.jpg").write_bytes(picture(640, 480))
    (images / "5.png").write_bytes(picture(64, 48, "PNG"))
    (images / "6.jpg").write_bytes(b"no picture")
    row = ("dog", 16, 0.75, (10.25, 20.5, 60.0, 90.0))
    with (
        FakeBackend(lambda _: answer([row])) as backend,
        GatewayProcess(backend=backend.target) as gateway,
    ):

        def run(kind: str, *more: str) -> int:
            places = ("--images", str(images), "--out", str(tmp_path / kind / "out"))
            return main([kind, "--url", gateway.url, *places, *more])

        assert run("throughput", "--pictures", "70") == 1
        assert run("soak", "--duration", "1s", "--batch", "7") == 0
        assert (
            run(
                "server",
                "--rate",
                "20",
                "--seconds",
                "1s",
                "--bound-ms",
                "5000",
                "--requests",
                "100",
            )
            == 0
        )
    throughput = run_json(tmp_path / "throughput" / "images")
    assert throughput["target"]["model"] == "yolov4"
    assert throughput["target"]["version"] == 3
    assert throughput["summary"]["images"] == 60
    assert throughput["summary"]["errors"] == {"400": 10}
    soak = run_json(tmp_path / "soak" / "images")["summary"]
    assert soak["images"] == 6 * soak["errors"]["400"]  # of each seven pictures one is bad
    server = run_json(tmp_path / "server" / "images")
    assert set(server["summary"]["errors"]) == {"400"}
    assert server["summary"]["images"] + server["summary"]["errors"]["400"] == 100
