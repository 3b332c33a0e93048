"""The documentation site: it builds strictly, loads nothing from elsewhere, and equals the code."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.api.app import create_app
from service.core.lifecycle import Lifecycle
from service.core.logs.settings import PREFIX
from service.core.metrics import Metrics
from service.settings import Settings
from tests.support.project import ROOT

LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?([^\" >]+)")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(folder),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        text = page.read_text()
        loaded = LOADED.findall(text)
        assert loaded
        assert [url for url in loaded if re.match(r"(https?:)?//", url)] == [], page
        # Material loads Mermaid from a content delivery network wherever a page has a diagram.
        assert 'class="mermaid"' not in text, page


def test_the_search_index_has_every_page(site: Path) -> None:
    index = json.loads((site / "search/search_index.json").read_text())
    locations = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {str(page.relative_to(site)) for page in site.rglob("*.html")} - {"404.html"}
    assert pages <= locations


def test_every_setting_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/settings.html").read_text()
    names = set(re.findall(rf"<code>({PREFIX}\w+)</code></td>", page))
    assert names == {PREFIX + name.upper() for name in Settings.model_fields}


def test_every_metric_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/metrics.html").read_text()
    names = set(re.findall(r"<td><code>(detect_\w+)</code></td>", page))
    families = {family.name: family.type for family in Metrics().registry.collect()}
    ours = {name for name in families if name.startswith("detect_")}
    assert ours
    suffixes = {"counter": "_total", "info": "_info"}
    assert names == {name + suffixes.get(families[name], "") for name in ours}


@pytest.mark.parametrize(
    "option", ["--score-threshold", "--warm-up", "--annotations", "--grpc_max_threads"]
)
def test_options_are_in_the_reference(site: Path, option: str) -> None:
    assert option in (site / "reference/commands.html").read_text()


def test_every_endpoint_parameter_and_status_is_in_the_reference(site: Path) -> None:
    page = (site / "reference/http-api.html").read_text()
    paths = create_app(Settings(), Metrics(), Lifecycle()).openapi()["paths"]
    assert "/detect" in paths
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert f"<code>{method.upper()} {path}</code>" in page
            declared = {status for status in operation["responses"] if status >= "4"}
            assert declared - set(re.findall(r"<td>([45]\d\d)</td>", page)) == set()
            for parameter in operation.get("parameters", []):
                if parameter["in"] != "path":
                    assert f"<code>{parameter['name']}</code>" in page


def test_every_alert_is_in_the_reference(site: Path) -> None:
    rules = (ROOT / "docker/prometheus/rules.yml").read_text()
    page = (site / "operate/monitoring.html").read_text()
    for alert in re.findall(r"alert: (\w+)", rules):
        assert f"<td>{alert}</td>" in page
