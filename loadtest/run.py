"""`run.json`: the schema of a run, for the commands that write it and `report` that reads it."""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import CommandError, host
from .client import Model
from .pictures import Pictures

SCHEMA = 1
KINDS = ("soak", "throughput", "server")  # in the order of a report
P99_REQUESTS = 1000  # with fewer, fewer than ten lie above the P99, and it is chance


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Host(_Strict):
    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    gpu: str | None = None
    neuron: str | None = None


class Target(_Strict):
    url: str
    model: str
    version: int
    precision: str | None = None  # as the user says; the service does not report it


class PictureSet(_Strict):
    count: int
    sha256: str


class WindowLatency(_Strict):
    """Milliseconds per request; None without responses."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None = None


class Latency(WindowLatency):
    mean: float | None = None
    p999: float | None = None


class Window(_Strict):
    """What was answered within a part of the run, and the host's readings at its end."""

    start_s: float
    seconds: float
    images: int
    images_per_s: float
    latency_ms: WindowLatency
    errors: dict[str, int]
    host_cpu_percent: float | None = None
    host_memory_mb: float | None = None
    temperature_c: float | None = None
    frequency_mhz: float | None = None
    yardstick_ms: float | None = None  # CPU time of a fixed computation, the median


class Buckets(_Strict):
    """[upper bound, count]; a bucket's lower bound is 1 % below its upper one."""

    unit: Literal["us"] = "us"
    buckets: list[tuple[float, int]] = []


class Trial(_Strict):
    """A rate of the open loop. A failed request has infinite latency, written as None."""

    rate: float
    p99_ms: float | None
    p99_interval_ms: tuple[float | None, float | None] | None = None  # 95 % confidence
    p99_repeats_ms: list[float | None] = []  # of all repeats of this rate
    answered_share: float
    requests: int | None = None
    passed: bool

    @property
    def p99_known(self) -> bool:
        return self.requests is not None and self.requests >= P99_REQUESTS


class Summary(_Strict):
    images: int
    seconds: float
    images_per_s: float
    latency_ms: Latency
    variation_percent: float | None  # of the windows' throughput: (max - min) / mean
    yardstick_variation_percent: float | None = None  # the machine's own, likewise
    errors: dict[str, int]
    restarts_seen: int


class Run(_Strict):
    schema_version: int = Field(alias="schema")
    kind: Literal["soak", "throughput", "server"]
    command: str
    date: str
    commit: str | None
    ended: Literal["complete", "interrupted"]
    label: str
    host: Host
    target: Target
    settings: dict[str, Any]
    seed: int
    pictures: PictureSet
    windows: list[Window] = []
    histogram: Buckets = Buckets()
    search: list[Trial] = []
    summary: Summary | None = None
    accuracy: dict[str, Any] | None = None

    @property
    def complete(self) -> bool:
        return self.ended == "complete"

    @property
    def results(self) -> Summary:
        assert self.summary is not None  # `read` rejects runs without
        return self.summary

    @property
    def highest_rate(self) -> float | None:
        """Of the open loop's trials that passed, requests per second."""
        return max((trial.rate for trial in self.search if trial.passed), default=None)


def read(path: Path) -> Run:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}: {error}") from error
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or "schema" not in content or "kind" not in content:
        raise CommandError(
            f"{path} is not a run of `python -m loadtest throughput`, `soak` or `server`"
        )
    if content["schema"] != SCHEMA:
        raise CommandError(f"{path} has schema {content['schema']!r}; this report reads {SCHEMA}")
    try:
        run = Run.model_validate_json(json.dumps(content))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CommandError(f"{path}: {where}: {first['msg']}, not {first['input']!r}") from error
    if run.summary is None:
        raise CommandError(
            f"{path} has no results: the run was stopped before its first window ended"
        )
    return run


def write_whole(path: Path, text: str) -> None:
    """Replace the file atomically."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


class RunFile:
    """A command's `run.json`: `start` writes it without results, `write` with those so far."""

    def __init__(self, kind: Literal["soak", "throughput", "server"], options: argparse.Namespace):
        self._kind = kind
        self._options = options
        if options.out is None:
            options.out = Path("runs") / time.strftime(f"{kind}-%Y%m%d-%H%M%S", time.gmtime())
        self.path: Path = options.out / "run.json"
        if options.out.exists() and not options.out.is_dir():
            raise CommandError(f"--out {options.out} is not a directory")
        if self.path.exists():
            raise CommandError(f"{self.path} already exists: choose another --out, or remove it")

    def start(self, model: Model, pictures: Pictures) -> None:
        """Raises if the file cannot be written, which is better known before the run."""
        options = self._options
        private = ("run", "command", "key")
        settings = {k: v for k, v in vars(options).items() if k not in private}
        self.content = Run(
            schema=SCHEMA,
            kind=self._kind,
            command=options.command,
            date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            commit=_commit(),
            ended="interrupted",
            label=options.label or model.name,
            host=Host(**host.describe()),
            target=Target(
                url=options.url,
                model=model.name,
                version=model.version,
                precision=options.precision_note,
            ),
            settings={k: str(v) if isinstance(v, Path) else v for k, v in settings.items()},
            seed=options.seed,
            pictures=PictureSet(count=len(pictures.paths), sha256=pictures.sha256),
        )
        self._save()

    def write(
        self,
        ended: Literal["complete", "interrupted"],
        windows: list[Window],
        histogram: Buckets,
        summary: Summary,
        search: Sequence[Trial] = (),
        accuracy: dict[str, Any] | None = None,
    ) -> None:
        self.content = self.content.model_copy(
            update={
                "ended": ended,
                "windows": windows,
                "histogram": histogram,
                "summary": summary,
                "search": list(search),
                "accuracy": accuracy,
            }
        )
        self._save()

    def _save(self) -> None:
        write_whole(self.path, self.content.model_dump_json(by_alias=True, indent=1) + "\n")


def _commit() -> str | None:
    """This tool's, when it runs from a clone."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
