"""Which metrics a PromQL expression names, and with which labels. As much of the grammar as we use;
promtool, where there is one, judges the rest."""

import re

KEYWORDS = {"and", "or", "unless", "bool", "offset"}
GROUPING = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)"
NAME = r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()"


def metrics(expression: str) -> dict[str, set[str]]:
    """Name -> the labels it is matched by."""
    plain = re.sub(GROUPING, " ", _without_strings(expression))
    plain = re.sub(r"\[[^\]]*\]", " ", plain)
    found: dict[str, set[str]] = {}
    for match in re.finditer(NAME + r"(?:\s*\{([^}]*)\})?", re.sub(r"(?<=\{)\s+", "", plain)):
        name, matchers = match.groups()
        if name in KEYWORDS or _inside_braces(plain, match.start()):
            continue
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers or ""))
    return found


def grouped(expression: str) -> set[str]:
    """The labels that it groups by."""
    return {
        label.strip()
        for labels in re.findall(GROUPING, _without_strings(expression))
        for label in labels.split(",")
        if label.strip()
    }


def _without_strings(expression: str) -> str:
    return re.sub(r"\"[^\"]*\"|'[^']*'", '""', expression)


def _inside_braces(text: str, at: int) -> bool:
    return text.count("{", 0, at) > text.count("}", 0, at)
