"""The monitoring's files, and the expressions in them."""

import json
import re

from tests.support.project import ROOT

PROMETHEUS = ROOT / "docker" / "prometheus"
DASHBOARDS = sorted((ROOT / "docker" / "grafana" / "dashboards").glob("*.json"))


def rules() -> dict[str, str]:
    """Record or alert -> its expression."""
    text = (PROMETHEUS / "rules.yml").read_text()
    found = re.findall(r"- (?:record|alert): (\S+)\n +expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)", text)
    assert len(found) == len(re.findall(r"\bexpr:", text))
    return {name: folded or line for name, folded, line in found}


def dashboard_expressions() -> list[str]:
    found = []
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        targets = [t for panel in dashboard["panels"] for t in panel.get("targets", [])]
        found += [query["expr"] for query in [*targets, *dashboard["annotations"]["list"]]]
    return found
