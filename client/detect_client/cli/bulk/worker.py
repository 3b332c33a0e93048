"""One worker: reads pictures, sends them to the service, and writes shards as they complete."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field

from ...errors import DetectError
from ...window import ordered
from ..folder import STOPS
from ..options import Options, Stop
from . import rows
from .job import Job
from .stores import Item, Store, Unreadable
from .ways import open_way

READ_AHEAD = 3  # pictures that are read or waiting, for each that is with the service
EXAMPLES = 10


@dataclass
class Report:
    """What this worker has written."""

    pictures: int = 0
    errors: int = 0
    shards: int = 0
    late: int = 0  # shards that another worker had written meanwhile
    examples: list[str] = field(default_factory=list)

    def add(self, content: Sequence[rows.Row], written: bool) -> None:
        if not written:
            self.late += 1
            return
        errors = [f"{row['key']}: {row['error']}" for row in content if row["error"] is not None]
        self.shards += 1
        self.pictures += len(content)
        self.errors += len(errors)
        self.examples += errors[: EXAMPLES - len(self.examples)]

    def merge(self, other: Report) -> None:
        self.pictures += other.pictures
        self.errors += other.errors
        self.shards += other.shards
        self.late += other.late
        self.examples += other.examples[: EXAMPLES - len(self.examples)]


class Worker:
    """Pictures flow from one shard into the next, so that the service never waits for a shard."""

    def __init__(self, job: Job, source: Store, folder: Store, options: Options) -> None:
        self._job = job
        self._source = source
        self._folder = folder
        self._options = options
        self._window = READ_AHEAD * options.in_flight
        self._readable = 0

    async def run(self, shards: Sequence[int], progress: Callable[[Report], None]) -> Report:
        """Raises Stop where going on would be in vain; the shards written by then are kept."""
        options, report, content = self._options, Report(), []
        writing: asyncio.Task[None] | None = None  # so that detection does not wait for it

        async def write(shard: int, content: list[rows.Row]) -> None:
            written = await asyncio.to_thread(self._job.write, self._folder, shard, content)
            report.add(content, written)
            progress(report)

        self._slots = asyncio.Semaphore(options.in_flight)
        self._pace = Pace(options.rate)
        # asyncio's own pool has few threads on a small machine.
        self._threads = ThreadPoolExecutor(self._window, "read")
        self._way = open_way(options)
        items = ((shard, item) for shard in shards for item in self._job.items(shard))
        try:
            async with self._way, aclosing(ordered(items, self._one, self._window)) as answers:
                async for shard, row in answers:
                    content.append(row)
                    if len(content) == self._job.size(shard):
                        self._check(content)
                        if writing:
                            await writing
                        writing, content = asyncio.create_task(write(shard, content)), []
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            if writing:  # also where the next shard has ended the run: this one is complete
                await writing
        return report

    async def _one(self, entry: tuple[int, Item]) -> tuple[int, rows.Row]:
        shard, item = entry
        try:
            return shard, await self._detect(item)
        except (DetectError, Unreadable) as error:
            if isinstance(error, STOPS):
                raise Stop(f"{error} Stopped; the same command continues.") from error
            return shard, rows.failed(item, self._job.model, self._job.version, error)

    async def _detect(self, item: Item) -> rows.Row:
        if item.size > self._options.max_bytes:
            self._readable += 1
            raise Unreadable(f"{item.size} bytes; --max-bytes is {self._options.max_bytes}")
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._threads, self._source.read, item.key, item.etag)
        self._readable += 1
        async with self._slots:
            await self._pace.wait()
            result = await self._way.detect(data, **self._options.query())
        if (result.model, result.version) != (self._job.model, self._job.version):
            raise Stop(
                f"{result.model} version {result.version} has answered, and this job is for"
                f" {self._job.model} version {self._job.version}. The same command starts a job"
                " for the version that is served now."
            )
        return rows.answered(item, result)

    def _check(self, content: Sequence[rows.Row]) -> None:
        """Wrong permissions are not the pictures' fault."""
        if not self._readable and len(content) > 1:
            raise Stop(f"None of {len(content)} objects can be read: {content[0]['error']}")


class Pace:
    """At most `rate` calls a second, evenly spaced; None: no limit."""

    def __init__(self, rate: float | None) -> None:
        self._interval_s = 1 / rate if rate else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        now = time.monotonic()
        start = max(now, self._next)
        self._next = start + self._interval_s
        await asyncio.sleep(start - now)
