"""`python -m loadtest report` and the page it writes, as tables."""

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from loadtest.__main__ import main

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Tables as texts; and that what is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def rows(self, number: int = 0) -> dict[str, list[str]]:
        return {row[0]: row[1:] for row in self.tables[number]}


class Reports:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"

    def run(self, runs: Sequence[dict[str, Any]], *options: str) -> int:
        paths = []
        for number, run in enumerate(runs):
            paths.append(self.folder / f"run{number}.json")
            paths[-1].write_text(json.dumps(run))
        return main(["report", *map(str, paths), "--out", str(self.out), *options])

    def page(self, runs: Sequence[dict[str, Any]], *options: str) -> Page:
        assert self.run(runs, *options) == 0
        return Page(self.html)

    @property
    def html(self) -> str:
        return (self.out / "report.html").read_text(encoding="utf-8")
