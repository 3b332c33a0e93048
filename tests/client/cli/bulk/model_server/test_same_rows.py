"""`detect bulk` writes the same rows through the gateway and straight to the model server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from detect_client.cli.main import main

from tests.client.cli.bulk.results import rows_of
from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess
from tests.support.processes.model_server_process import Server
from tests.support.processes.whole_service import batching_flags, whole_service

pytestmark = pytest.mark.slow
BATCHING = """
max_batch_size { value: 4 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 1 }
"""


@pytest.fixture(scope="module")
def service(
    small_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GatewayProcess, Server]]:
    folder = tmp_path_factory.mktemp("service")
    flags = ("--grpc_max_threads=64",)
    with whole_service(folder, small_repository, "small", *flags, deadline_s=60) as running:
        yield running


@pytest.fixture(scope="module")
def batching(
    small_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GatewayProcess, Server]]:
    """Pictures of several calls share a batch, which TensorFlow fails as a whole."""
    folder = tmp_path_factory.mktemp("batching")
    flags = (*batching_flags(folder, BATCHING), "--grpc_max_threads=64")
    with whole_service(folder, small_repository, "small", *flags, deadline_s=60) as running:
        yield running


def both_ways(
    service: tuple[GatewayProcess, Server], pictures: Path, out: Path, *more: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    gateway, server = service
    command = ["bulk", str(pictures)]
    through = ["--url", gateway.url, *more]
    straight = ["--server", f"grpc://127.0.0.1:{server.port}", "--model", "small", *more]
    assert main([*command, str(out / "through"), *through]) == 0
    assert main([*command, str(out / "straight"), *straight]) == 0
    assert [p.name for p in (out / "through").iterdir()] == [
        p.name for p in (out / "straight").iterdir()
    ]  # one way can finish what the other has begun
    return rows_of(out / "through"), rows_of(out / "straight")


def test_kinds_and_damage(service: tuple[GatewayProcess, Server], tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(1, 9):
        (folder / f"exif-{n}.jpg").write_bytes(picture(300, 200, orientation=n, quality=95))
    for kind in ("PNG", "WEBP", "AVIF", "GIF"):
        (folder / f"a.{kind.lower()}").write_bytes(picture(120, 80, kind=kind))
    (folder / "large.jpg").write_bytes(picture(3300, 3200, orientation=3))
    (folder / "truncated.jpg").write_bytes(picture(400, 400, quality=95)[:3000])
    (folder / "rubbish.jpg").write_bytes(b"rubbish")
    (folder / "empty.jpg").write_bytes(b"")
    rows, others = both_ways(service, folder, tmp_path)
    assert sum(row["error"] is not None for row in rows) == 4
    assert rows == others


def test_damaged_pictures_in_a_batch_with_others(
    batching: tuple[GatewayProcess, Server], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(40):
        data = picture(200 + n, 200, quality=95)
        (folder / f"{n:02}.jpg").write_bytes(data if n % 4 else data[:1500])
    rows, others = both_ways(batching, folder, tmp_path)
    for found in (rows, others):
        for n, row in enumerate(found):
            damaged = "The picture's data is damaged or ends early."
            assert row["error"] == (None if n % 4 else damaged)
            assert row["width"] == (200 + n if n % 4 else None)


def test_photos_and_the_corpus(
    service: tuple[GatewayProcess, Server], data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    for name in ("photos", "jpeg-corpus"):
        for path in (data / name).rglob("*"):
            if path.is_file() and path.suffix != ".json":
                link = folder / name / path.relative_to(data / name)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.write_bytes(path.read_bytes())
    rows, others = both_ways(service, folder, tmp_path, "--timeout", "60")
    assert any(row["error"] for row in rows)
    assert sum(len(row["detections"] or ()) for row in rows) > 100
    assert rows == others
