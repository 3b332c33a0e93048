"""`python -m loadtest mlperf`: a scenario of MLPerf Inference, run by MLPerf's own LoadGen.

LoadGen decides when queries come, takes the times and judges; here they become requests to `POST
/detect`. It knows no failed query and cannot be interrupted: `server` is for that. Not an official
result, which has rules of its own for model, data and duration.
"""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from .caller import Model
from .connection import Address, address
from .first_answer import first_answer
from .open_loop import MOST_OPEN, ConnectionPool
from .options import positive, seconds
from .picture_folder import Pictures, read_folder
from .replies import ask
from .run_words import errors
from .stopped import Stopped

SCENARIOS = ("SingleStream", "Server", "Offline")
SUMMARY = "mlperf_log_summary.txt"


def add_mlperf(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("mlperf", help="a scenario of MLPerf's LoadGen over HTTP")
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("--url", required=True, help="of the service, such as http://localhost:8000")
    add("--images", required=True, type=Path, metavar="DIR", help="the folder of the pictures")
    add("--scenario", choices=SCENARIOS, required=True)
    add("--rate", type=float, default=10.0, metavar="R", help="Server's, or Offline's expected one")
    add("--bound-ms", type=float, default=100.0, metavar="MS", help="Server's (%(default)s)")
    add("--seconds", type=seconds, default=60.0, metavar="TIME", help="at least (60s)")
    add("--requests", type=positive, default=100, metavar="N", help="at least (%(default)s)")
    callers = "requests at the same time, in Offline (default: %(default)s)"
    add("--callers", type=positive, default=16, metavar="N", help=callers)
    add("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    out = "for LoadGen's logs (default: %(default)s)"
    add("--out", type=Path, default=Path("mlperf"), metavar="DIR", help=out)


def _run(options: argparse.Namespace) -> int:
    loadgen = _loadgen()
    where, pictures = address(options.url), read_folder(options.images)
    at_once = options.callers if options.scenario == "Offline" else MOST_OPEN
    queries = Queries(loadgen, where, pictures, at_once)
    model = queries.first_answer(options.url)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if not os.access(options.out, os.W_OK):
            raise PermissionError(0, "Permission denied")
    except OSError as error:
        raise Stopped(f"cannot write to {options.out}: {error.strerror}") from error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # LoadGen runs until its end, and has no other
    sut = loadgen.ConstructSUT(queries.issue, lambda: None)
    count = len(pictures.paths)
    qsl = loadgen.ConstructQSL(count, count, lambda samples: None, lambda samples: None)
    loadgen.StartTestWithLogSettings(sut, qsl, *_settings(loadgen, options))
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)
    queries.close()
    return _verdict(options.out / SUMMARY, model, queries.errors)


def _loadgen() -> Any:
    try:
        import mlperf_loadgen  # type: ignore[import-not-found]
    except ImportError as error:
        package = "mlcommons-loadgen"
        raise Stopped(
            f"MLPerf's LoadGen is not installed: {sys.executable} -m pip install {package}"
        ) from error
    return mlperf_loadgen


def _settings(loadgen: Any, options: argparse.Namespace) -> tuple[Any, Any]:
    test = loadgen.TestSettings()
    test.scenario = getattr(loadgen.TestScenario, options.scenario)
    test.mode = loadgen.TestMode.PerformanceOnly
    test.min_duration_ms = int(1000 * options.seconds)
    test.min_query_count = 1 if options.scenario == "Offline" else options.requests
    test.server_target_qps = test.offline_expected_qps = options.rate
    test.server_target_latency_ns = int(1e6 * options.bound_ms)
    test.qsl_rng_seed = test.sample_index_rng_seed = test.schedule_rng_seed = options.seed
    log = loadgen.LogSettings()
    output = loadgen.LogOutputSettings()
    output.outdir = str(options.out)
    log.log_output = output
    log.enable_trace = False
    return test, log


def _verdict(path: Path, model: Model, failed: Counter[str]) -> int:
    try:
        summary = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Stopped(f"LoadGen left no {path}: {error.strerror}") from error
    print(summary.split("====\nTest Parameters Used")[0].rstrip("=\n"))
    print(f"\n{model}; written: {path}")
    if failed:
        total = failed.total()
        raise Stopped(
            f"{total} pictures failed ({errors(failed)}): LoadGen counts them as answered"
        )
    return 0 if "Result is : VALID" in summary else 1


class Queries:
    """LoadGen's samples as requests, on an event loop of a thread of its own."""

    def __init__(self, loadgen: Any, address: Address, pictures: Pictures, at_once: int) -> None:
        self.errors: Counter[str] = Counter()
        self._loadgen = loadgen
        self._address = address
        self._pictures = pictures
        self._pool = ConnectionPool(address, at_once)
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._pool.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def first_answer(self, url: str) -> Model:
        first = map(self._request, range(len(self._pictures.paths)))
        coming = first_answer(self._address, url, islice(first, 8))
        return asyncio.run_coroutine_threadsafe(coming, self._loop).result()

    def issue(self, samples: list[Any]) -> None:
        self._loop.call_soon_threadsafe(self._start, [(s.id, s.index) for s in samples])

    def _start(self, samples: list[tuple[int, int]]) -> None:
        for sample in samples:
            task = self._loop.create_task(self._one(*sample))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _one(self, identity: int, number: int) -> None:
        try:
            async with self._pool.connection() as connection:
                outcome = await ask(connection, *self._request(number))
            self.errors.update(reply for reply in outcome.replies if isinstance(reply, str))
        except Stopped as error:
            self.errors[str(error)] += 1
        finally:  # or LoadGen waits for ever
            done = self._loadgen.QuerySampleResponse(identity, 0, 0)
            self._loadgen.QuerySamplesComplete([done])

    def _request(self, number: int) -> tuple[bytes, list[int]]:
        return self._address.detect(self._pictures.data(number)), [number]
