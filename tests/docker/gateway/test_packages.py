"""The gateway runs from what its image copies out of the whole environment."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import compose
from tests.support.processes.gateway_process import wait_for
from tests.support.project import ROOT, free_port


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """What the gateway's image holds of the environment these tests run in."""
    done = compose.run(
        sys.executable, ROOT / "docker" / "gateway" / "packages.py", tmp_path / "all"
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "all"


def test_the_gateway_runs_from_its_packages_without_tensorflow(packages: Path) -> None:
    modules = [path for name in ("tensorflow", "keras") for path in (packages / name).rglob("*")]
    files = [path for path in modules if path.is_file()]
    assert {path.name.removesuffix("_pb2.py") for path in files} == {
        *("__init__.py", "error_codes", "resource_handle", "tensor", "tensor_shape", "types")
    }
    assert not (packages / "numpy").exists()
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < 150e6

    # -S: of this interpreter's own packages, none.
    python = Path(sys.base_prefix) / "bin" / "python3"
    environment = {
        "PYTHONPATH": str(packages),
        "DETECT_HOST": "127.0.0.1",
        "DETECT_PORT": str(free_port()),
    }
    gateway = subprocess.Popen(
        [python, "-S", "-m", "service"], cwd=ROOT, env=environment, stderr=subprocess.PIPE
    )

    def healthy(route: str) -> bool:
        script = ROOT / "docker" / "gateway" / "healthy.py"
        return (
            compose.run(python, "-I", "-S", script, route, environment=environment).returncode == 0
        )

    try:
        wait_for(lambda: healthy("/livez") or gateway.poll() is not None, 20)
        assert gateway.poll() is None, gateway.communicate()[1].decode()
        assert not healthy("/readyz")
    finally:
        gateway.send_signal(signal.SIGTERM)
        gateway.communicate(timeout=20)
    assert gateway.returncode == 0
