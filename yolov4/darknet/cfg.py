"""Parses `.cfg` files into sections of keys and values with their line numbers.

A layer's key is used, or ignored because it concerns training only, or refused unless its value has
no effect: see `yolov4.darknet.keys`.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

from yolov4.darknet.files import read_text
from yolov4.darknet.keys import ACTIVATIONS, KEYS, SAME, TRAINING_ANYWHERE
from yolov4.errors import ModelError


@dataclass
class Section:
    """One section of a `.cfg` file. Every error names the file and the line."""

    path: Path
    name: str
    line: int
    values: dict[str, tuple[str, int]] = field(default_factory=dict)  # key -> value, line
    repeated: dict[str, int] = field(default_factory=dict)  # key -> line where it differs

    def where(self, key: str | None = None) -> str:
        line = self.values[key][1] if key in self.values else self.line
        return f"{self.path}, line {line}"

    def error(self, reason: str, key: str | None = None) -> ModelError:
        return ModelError(f"{self.where(key)}: {reason}")

    def integer(self, key: str, default: int, at_least: int = 0) -> int:
        if key not in self.values:
            return default
        value = self.values[key][0]
        try:
            number = int(value)
        except ValueError:
            raise self.error(f"{key}={value}: expected an integer", key) from None
        if number < at_least:
            raise self.error(f"{key}={value}: expected at least {at_least}", key)
        return number

    def number(self, key: str, default: float) -> float:
        return self.numbers(key)[0] if key in self.values else default

    def word(self, key: str, default: str, *others: str) -> str:
        """The value of a key that must be one of these."""
        value = self.values.get(key, (default, 0))[0]
        if value not in (default, *others):
            raise self.error(
                f"{key}={value} is not supported; supported: {', '.join((default, *others))}", key
            )
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        numbers = self.numbers(key)
        if any(number != int(number) for number in numbers):
            raise self.error(f"{key}={self.values[key][0]}: expected integers", key)
        return tuple(int(number) for number in numbers)

    def numbers(self, key: str) -> tuple[float, ...]:
        if key not in self.values:
            return ()
        value = self.values[key][0]
        try:
            numbers = tuple(float(part) for part in value.rstrip(",").split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(map(math.isfinite, numbers)):
            raise self.error(f"{key}={value}: expected numbers separated by commas", key)
        return numbers

    def activation(self, default: str) -> str:
        return self.word("activation", default, *(set(ACTIVATIONS) - {default}))

    def check_keys(self) -> None:
        """Refuse unknown keys, and keys that would change the result in an unsupported way."""
        kind = SAME.get(self.name, self.name)
        if kind not in KEYS:
            raise self.error(f"[{self.name}] is not supported; supported: {', '.join(KEYS)}")
        keys = KEYS[kind]
        refused = dict(entry.split("=") for entry in keys.refused.split())
        passed_over = f"{keys.training} {TRAINING_ANYWHERE}".split()
        for key, (value, _) in self.values.items():
            if key in keys.used.split():
                if key in self.repeated:
                    raise self.error(
                        f"{key}={value}, but line {self.repeated[key]} has another value: "
                        "delete one of them",
                        key,
                    )
            elif key in refused:
                if value != refused[key]:
                    raise self.error(f"{key}={value} in [{self.name}] is not supported", key)
            elif kind != "net" and key not in passed_over:
                raise self.error(
                    f"{key}={value}: unknown key of [{self.name}]. If it concerns "
                    "training only, delete the line",
                    key,
                )


def read_sections(path: Path) -> list[Section]:
    """Return the sections of a `.cfg` file in order. At least one; all keys are known."""
    sections: list[Section] = []
    for number, raw in enumerate(read_text(path, errors="replace").splitlines(), start=1):
        line = "".join(raw.split("#")[0].split(";")[0].split())  # Darknet drops every space too
        if line.startswith("[") and line.endswith("]"):
            sections.append(Section(path, line[1:-1], number))
        elif line:
            key, equals, value = line.partition("=")
            if not (key and equals and value):
                raise ModelError(
                    f"{path}, line {number}: expected [section] or key=value, not {raw!r}"
                )
            if not sections:
                raise ModelError(f"{path}, line {number}: {key}= precedes the first [section]")
            known = sections[-1].values.setdefault(key, (value, number))
            if known[0] != value:
                sections[-1].repeated[key] = number
    if not sections:
        raise ModelError(f"{path} has no [section]; is it a .cfg file?")
    for section in sections:
        section.check_keys()
    return sections
