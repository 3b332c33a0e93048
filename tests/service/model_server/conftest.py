"""The model server under test, one process for all tests that only call it or add a model."""

from collections.abc import Iterator

import pytest

from tests.support.inputs import tiny_models
from tests.support.processes.model_server_process import Server, running


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that only ask or add a model: `tiny`, versions 1 and 2."""
    base = tmp_path_factory.mktemp("tiny")
    for version in (1, 2):
        tiny_models.save(base, version)
    config = base / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "tiny" base_path: "{base}" '
        'model_platform: "tensorflow" model_version_policy { all {} } '
        'version_labels { key: "stable" value: 1 } } }'
    )
    flags = (
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=200000",
    )
    with running(base, *flags) as server:
        server.models["tiny"] = {
            "base_path": str(base),
            "model_version_policy": {"all": {}},
            "version_labels": {"stable": 1},
        }
        server.wait_for("tiny", {2: "AVAILABLE", 1: "AVAILABLE"})
        yield server
