"""A canary by label at the embedded model server, which has two versions of a detector."""

import shutil
from pathlib import Path

from tests.support.inputs.pictures import picture
from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.processes.model_server_process import running


def test_labels_at_the_embedded_model_server(small_repository: Path, tmp_path: Path) -> None:
    base = tmp_path / "small"
    shutil.copytree(small_repository / "small" / "1", base / "1")
    shutil.copytree(base / "1", base / "2")
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "small" base_path: "{base}"'
        ' model_platform: "tensorflow" model_version_policy { all {} }'
        ' version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 } } }'
    )
    flags = (
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models=true",
    )
    with (
        running(tmp_path, *flags) as server,
        GatewayProcess(
            backend=f"127.0.0.1:{server.port}",
            model_name="small",
            model_version="stable",
            canary="canary:100",
        ) as gateway,
    ):
        wait_for(lambda: gateway.metric("detect_backend_ready") == 2, within_s=60)
        assert gateway.http.get("/readyz").json()["model"]["version"] == 1
        for version, status in (("", 200), ("stable", 200), ("2", 200), ("beta", 404), ("9", 404)):
            headers = {"X-Model-Version": version} if version else {}
            files = {"image": picture()}
            response = gateway.http.post("/detect", files=files, headers=headers)
            assert response.status_code == status, response.text
            if status == 200:
                answered = {"": "2", "stable": "1"}.get(version, version)
                assert response.headers["X-Model-Version"] == answered
