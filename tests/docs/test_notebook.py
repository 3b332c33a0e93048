"""The notebook of first detections, executed against the real gateway.

`python -m tests.docs.test_notebook` executes it against the service at DETECT_URL and stores the
outputs that the documentation shows.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.fakes.fake_backend import FakeBackend
from tests.support.inputs.official import NAME
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.processes.whole_service import whole_service
from tests.support.project import ROOT

NOTEBOOK = ROOT / "docs" / "guides" / "first-detections.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def execute(folder: Path, url: str) -> Any:
    """The executed notebook. `folder` looks like docs/guides, and gets what the cells write."""
    notebook = read()
    environment = {**os.environ, "DETECT_URL": url, "PYTHONPATH": str(ROOT / "client")}
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=60, resources=resources).execute(env=environment)
    return notebook


def texts(notebook: Any) -> list[str]:
    """What the cells printed or returned as text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [o["text"] if "text" in o else o["data"]["text/plain"] for o in outputs]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "service").symlink_to(ROOT / "service")
    (tmp_path / "docs" / "guides").mkdir(parents=True)
    return tmp_path / "docs" / "guides"


@pytest.fixture
def url() -> Iterator[str]:
    with FakeBackend() as backend, GatewayProcess(backend=backend.target) as gateway:
        wait_for(lambda: gateway.http.get("/readyz").status_code == 200)
        yield gateway.url


# pyzmq and asyncio, inside nbclient
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_every_cell_runs(folder: Path, url: str) -> None:
    printed = texts(execute(folder, url))
    assert printed[0].startswith("0.75 dog              10   20   60   90\n0.50 cat")
    assert printed[2].splitlines()[0] == "0.01  cat, dog, mouse"
    assert len(printed[4].splitlines()) == 3
    assert (folder / "detections.json").stat().st_size


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_the_stored_outputs_are_the_default_models(
    folder: Path, coco_repository: Path, tmp_path: Path
) -> None:
    with whole_service(tmp_path, coco_repository, NAME) as (gateway, _):
        assert texts(execute(folder, gateway.url)) == texts(read())


def test_it_is_small_and_has_every_output() -> None:
    assert NOTEBOOK.stat().st_size < 150_000
    code = [cell for cell in read().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum("image/jpeg" in o.get("data", {}) for c in code for o in c.outputs) == 2


if __name__ == "__main__":
    done = execute(NOTEBOOK.parent, os.environ["DETECT_URL"])
    for cell in done.cells:
        cell.metadata.pop("execution", None)  # times of day
    nbformat.write(done, NOTEBOOK)  # type: ignore[no-untyped-call]
    (NOTEBOOK.parent / "detections.json").unlink()
