"""MkDocs hook: root documents as pages, and reference tables generated from the code.

In a page, comments such as `<!-- settings -->` and `<!-- help: python -m yolov4 -->` are replaced
with what the repository has now; `_generated` lists them.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = ROOT / "docs/internals/decisions"
PAGES = {  # documents elsewhere in the repository, and the page that each becomes
    "README.md": "index.md",
    "ARCHITECTURE.md": "internals/architecture.md",
    "SECURITY.md": "internals/security.md",
    "CONTRIBUTING.md": "internals/contributing.md",
    "CHANGELOG.md": "internals/changelog.md",
    "client/README.md": "guides/python-client.md",
    "model_repository/README.md": "deploy/model-repository.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
TEMPLATE = re.compile(r"{{ \$(?:value|labels\.(\w+)).*?}}")
LINK = re.compile(r"(\]\()([^)#\s]+)")
MARKER = re.compile(r"<!-- (settings|metrics|endpoints|alerts|decisions|darknet|help: (.+?)) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in the generated parts, and make links that hold in the repository hold in the site."""
    source = PurePosixPath(SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def rewrite(match: re.Match[str]) -> str:
        if ":" in match[2]:
            return match[0]
        target = os.path.normpath(source.parent / match[2])
        target = PAGES.get(target, target.removeprefix("docs/"))
        return match[1] + os.path.relpath(target, PurePosixPath(page.file.src_uri).parent)

    return MARKER.sub(_generated, LINK.sub(rewrite, markdown))


def _generated(match: re.Match[str]) -> str:
    if match[1] == "settings":
        from service.settings import Settings

        return Settings.reference()
    if match[1] == "metrics":
        return "\n".join(metrics())
    if match[1] == "endpoints":
        return "\n".join(endpoints())
    if match[1] == "alerts":
        return "\n".join(alerts())
    if match[1] == "decisions":
        return "\n".join(decisions())
    if match[1] == "darknet":
        return "\n".join(darknet())
    return "\n\n".join(commands(match[2]))


def endpoints() -> Iterator[str]:
    """A table of everything in the OpenAPI document."""
    from service.api.app import create_app
    from service.core.lifecycle import Lifecycle
    from service.core.metrics import Metrics
    from service.settings import Settings

    yield "| endpoint | | statuses |\n|---|---|---|"
    for path, methods in create_app(Settings(), Metrics(), Lifecycle()).openapi()["paths"].items():
        for method, operation in methods.items():
            statuses = " ".join(sorted(operation["responses"]))
            yield f"| `{method.upper()} {path}` | {operation['summary']} | {statuses} |"


def alerts() -> Iterator[str]:
    """A table of Prometheus' alerting rules."""
    yield "| alert | severity | meaning | what to do |\n|---|---|---|---|"
    groups = yaml.safe_load((ROOT / "docker/prometheus/rules.yml").read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
        notes = rule["annotations"]
        summary = notes["summary"].replace("}}{{", "}} or {{")
        summary = TEMPLATE.sub(lambda match: f"<i>{match[1] or 'value'}</i>", summary)
        severity = rule["labels"]["severity"]
        yield f"| {rule['alert']} | {severity} | {summary} | {notes.get('do', '')} |"


def decisions() -> Iterator[str]:
    """A list of the decision records, newest first."""
    for record in sorted(DECISIONS.glob("2*.md"), reverse=True):
        title = record.read_text().partition("\n")[0].removeprefix("# ")
        yield f"- {record.name[:10]}: [{title}]({record.name})"


def darknet() -> Iterator[str]:
    """A table of a `.cfg`'s sections, and what becomes of their keys."""
    from yolov4.darknet.keys import KEYS

    yield "| section | keys | refused unless | ignored |\n|---|---|---|---|"
    for section, keys in KEYS.items():
        columns = [" ".join(f"`{key}`" for key in kind.split()) for kind in keys]
        yield f"| `[{section}]` | {' | '.join(columns)} |"


def metrics() -> Iterator[str]:
    """A table of the gateway's own instruments."""
    from service.core.metrics import Metrics

    yield "| metric | type | labels | |\n|---|---|---|---|"
    metrics = Metrics()
    for instrument in [*vars(metrics).values(), *vars(metrics.rollout).values()]:
        instrument = getattr(instrument, "__wrapped__", instrument)
        instrument = getattr(instrument, "__self__", instrument)
        if not hasattr(instrument, "describe"):
            continue
        (family,) = instrument.describe()
        full = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = ", ".join(f"`{label}`" for label in getattr(instrument, "_labelnames", ()))
        yield f"| `{full}` | {family.type} | {labels} | {family.documentation} |"


def commands(command: str) -> Iterator[str]:
    """The help of a command and of each of its subcommands, as sections."""
    text = _run([*command.replace("python", sys.executable, 1).split(), "--help"])
    usage = re.search(r"usage: (.*?) (?:\[|[A-Z])", text)  # `detect`, whatever started it
    yield f"## `{usage[1] if usage else command}`\n\n```\n{text}```"
    subcommands = re.search(r"^  command\n((?:    .*\n)+)", text, re.M)
    for name in re.findall(r"^    ([a-z][\w-]*)", subcommands[1], re.M) if subcommands else []:
        text = _run([*command.replace("python", sys.executable, 1).split(), name, "--help"])
        yield f"### `{command} {name}`\n\n```\n{text}```"


def _run(command: list[str]) -> str:
    environment = os.environ | {"COLUMNS": "100", "PYTHONPATH": f"{ROOT}:{ROOT / 'client'}"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} exits with {result.returncode}: {result.stderr}")
    return result.stdout
