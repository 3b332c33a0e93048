"""The embedded model server and the gateway before it, both as processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes.gateway_process import GatewayProcess, wait_for
from tests.support.processes.model_server_process import Server, running


@contextmanager
def whole_service(
    log_folder: Path, repository: Path, model: str, *flags: str, **settings: object
) -> Iterator[tuple[GatewayProcess, Server]]:
    """Both, ready; the model server's log is in `log_folder`."""
    flags = (f"--model_name={model}", f"--model_base_path={repository / model}", *flags)
    with running(log_folder, *flags) as server:
        backend = f"127.0.0.1:{server.port}"
        with GatewayProcess(backend=backend, model_name=model, **settings) as gateway:
            wait_for(lambda: gateway.http.get("/readyz").status_code == 200, within_s=60)
            yield gateway, server


def batching_flags(folder: Path, text: str) -> tuple[str, str]:
    """What switches batching on with the BatchingParameters `text`."""
    file = folder / "batching.txt"
    file.write_text(text)
    return "--enable_batching", f"--batching_parameters_file={file}"
