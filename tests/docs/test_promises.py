"""Every promise about security and robustness names a test; test_links.py checks that it exists."""

import re

import pytest

from tests.support.project import ROOT

PAGES = [
    "SECURITY.md",
    "docs/deploy/production.md",
    "docs/operate/damaged-pictures.md",
    "docs/operate/robustness.md",
]
# Of these tables each row is a promise. Of overload, the measurement is the test.
TABLES = re.compile(r"^\|.*\| *(tests|promise) *\|", re.M)
TEST = re.compile(r"`tests/[\w/.:]+`|`make bench-overload`")
WITHOUT = {"Reporting a vulnerability"}  # promises nothing


def unproven(text: str) -> list[str]:
    """Titles of the sections, and first cells of the promises, that name no test."""
    missing = []
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        title = section.splitlines()[0]
        if title not in WITHOUT and not TEST.search(section):
            missing.append(title)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        heading, _, *rows = table.splitlines()
        if TABLES.match(heading):
            missing += [row.split("|")[1].strip() for row in rows if not TEST.search(row)]
    return missing


@pytest.mark.parametrize("page", PAGES)
def test_every_promise_names_a_test(page: str) -> None:
    text = (ROOT / page).read_text()
    sections = re.sub(r"^\*\*(.+)\*\*$", r"## \1", text, flags=re.M)  # the checklist's groups
    assert unproven(sections) == []
    assert TEST.search(text)


def test_a_promise_without_a_test_is_noticed() -> None:
    table = "| threat | tests |\n|---|---|\n| a | `tests/a.py` |\n| b | later |\n"
    assert unproven(f"# T\n## Kept\n{table}## Bare\nWe promise.\n") == ["Bare", "b"]
