"""The model server under test, and the report of its conformance.

By default the embedded one. TF_MODEL_SERVER=program starts that program instead.
TF_SERVING_TARGET=host:grpc_port[,rest_port] is a running server that serves TF_SERVING_MODEL: cases
that only call use it, and those that start or configure a server are skipped unless TF_MODEL_SERVER
is set too. CONFORMANCE_REPORT=file.md or .json: the report.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance import case
from tests.conformance.case import Case, Result, case_of
from tests.support.inputs import tiny_models
from tests.support.processes.model_server_process import Client, Server, running
from tests.support.project import ROOT, free_port

CASES = pytest.StashKey[dict[str, Case]]()
FILES = pytest.StashKey[set[str]]()  # names of the collected test files
RESULTS: dict[str, Result] = {}
NEEDS_PROGRAM = "starts or configures a server: set TF_MODEL_SERVER to its program"


@dataclass
class Served:
    """A server with a detector, contract 2 of ARCHITECTURE.md, under the name `model`."""

    client: Client
    model: str
    rest: str | None  # base URL; the embedded server has no REST port

    @property
    def version(self) -> int:
        states = self.client.states(self.model)
        return max(version for version, state in states.items() if state == "AVAILABLE")


@pytest.fixture(scope="package")
def rest_port() -> int:
    return free_port()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, rest_port: int) -> Iterator[Server]:
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
    flags = [
        f"--model_config_file={config}",
        "--allow_version_labels_for_unavailable_models",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=200000",
        "--grpc_max_threads=64",
    ]
    if case.PROGRAM:
        monitoring = ROOT / "docker/tfserving/monitoring.txt"
        flags += [f"--rest_api_port={rest_port}", f"--monitoring_config_file={monitoring}"]
    with running(base, *flags) as server:
        server.models["tiny"] = {
            "base_path": str(base),
            "model_version_policy": {"all": {}},
            "version_labels": {"stable": 1},
        }
        server.wait_for("tiny", {2: "AVAILABLE", 1: "AVAILABLE"})
        yield server


@pytest.fixture(scope="package")
def own(server: Server, small_repository: Path, rest_port: int) -> Served:
    """`server`, with the model `small` added."""
    server.add("small", small_repository / "small")
    return Served(server, "small", f"http://127.0.0.1:{rest_port}" if case.PROGRAM else None)


@pytest.fixture(scope="package")
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """The running server where there is one, otherwise `own`."""
    if not case.RUNNING:
        yield request.getfixturevalue("own")
        return
    target, _, port = case.RUNNING.partition(",")
    rest = f"http://{target.rpartition(':')[0]}:{port}" if port else None
    client = Client(target)
    yield Served(client, os.environ.get("TF_SERVING_MODEL", "yolov4-tiny"), rest)
    client.channel.close()


@pytest.hookimpl(tryfirst=True)  # before pytest takes out what `-m` and `-k` deselect
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    cases = config.stash.setdefault(CASES, {})
    files = config.stash.setdefault(FILES, set())
    for item in items:
        if item.path.parent == Path(__file__).parent:
            files.add(item.path.name)
        if (found := case_of(item)) is None:
            continue
        assert cases.setdefault(found.id, found) == found, f"{found.id} is the id of two cases"
        names = getattr(item, "fixturenames", ())
        if case.RUNNING and not case.PROGRAM and "served" not in names:
            item.add_marker(pytest.mark.skip(reason=NEEDS_PROGRAM))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment]
    found = case_of(item)
    if found and (report.when == "call" or not report.passed):
        old, new = RESULTS.get(found.id), case.result_of(found, report)
        if old is None or old.outcome != "differs":  # one of several parameters is enough
            RESULTS[found.id] = new
    return report  # type: ignore[return-value]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not RESULTS:
        return
    terminalreporter.section(f"conformance of {case.TARGET}")
    for result in RESULTS.values():
        if result.outcome in ("differs", "intended"):
            terminalreporter.line(f"{result.outcome}: {result.case.id}: {result.seen}")
            terminalreporter.line(f"    {case.REAL}: {result.case.real}")
    terminalreporter.line(case.summary(RESULTS.values()))
    if path := os.environ.get("CONFORMANCE_REPORT"):
        case.write(RESULTS.values(), Path(path))
        terminalreporter.line(f"report: {path}")
