"""`python -m loadtest mlperf`: a scenario of MLPerf Inference, run by MLPerf's own LoadGen.

LoadGen schedules the queries, measures and judges; they are sent as requests to `POST /detect`.
LoadGen does not support failed queries and cannot be interrupted: use `server` for that. This is
not an official result, which has its own rules for model, data and duration.
"""

import argparse
import asyncio
import os
import signal
import threading
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

from .. import CommandError
from ..client import Model, Service, ask
from ..load import MAX_CONNECTIONS, ConnectionPool, Request, identify
from ..pictures import Pictures, read_folder
from .options import add_command, positive, positive_number, seconds
from .terminal import error_counts

SCENARIOS = ("SingleStream", "Server", "Offline")
SUMMARY = "mlperf_log_summary.txt"


def add_mlperf(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = add_command(commands, "mlperf", _run, "a scenario of MLPerf's LoadGen over HTTP")
    add("--scenario", choices=SCENARIOS, required=True, help="MLPerf scenario")
    rate = "target QPS (Server) or expected QPS (Offline)"
    add("--rate", type=positive_number, default=10.0, metavar="R", help=rate)
    limit = "P99 limit in ms (Server)"
    add("--bound-ms", type=positive_number, default=100.0, metavar="MS", help=limit)
    add("--seconds", type=seconds, default="60s", metavar="TIME", help="minimum duration")
    add("--requests", type=positive, default=100, metavar="N", help="minimum number of queries")
    callers = "concurrent requests (Offline)"
    add("--callers", type=positive, default=16, metavar="N", help=callers)
    add("--seed", type=int, default=0, metavar="N", help="seed of LoadGen's schedule")
    out = "directory for LoadGen's logs"
    add("--out", type=Path, default=Path("mlperf"), metavar="DIR", help=out)


def _run(options: argparse.Namespace) -> int:
    import mlperf_loadgen as loadgen  # type: ignore[import-not-found]

    service, pictures = Service.at(options.url, options.key), read_folder(options.images)
    connections = options.callers if options.scenario == "Offline" else MAX_CONNECTIONS
    queries = Queries(loadgen, service, pictures, connections)
    model = queries.identify()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if not os.access(options.out, os.W_OK):
            raise PermissionError(0, "Permission denied")
    except OSError as error:
        raise CommandError(f"cannot write to {options.out}: {error.strerror}") from error
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # LoadGen cannot be asked to stop
    sut = loadgen.ConstructSUT(queries.issue, lambda: None)
    count = len(pictures.paths)
    qsl = loadgen.ConstructQSL(count, count, lambda samples: None, lambda samples: None)
    loadgen.StartTestWithLogSettings(sut, qsl, *_settings(loadgen, options))
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)
    queries.close()
    return _verdict(options.out / SUMMARY, model, queries.errors)


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


def _verdict(path: Path, model: Model, errors: Counter[str]) -> int:
    try:
        summary = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"LoadGen did not write {path}: {error.strerror}") from error
    print(summary.split("====\nTest Parameters Used")[0].rstrip("=\n"))
    print(f"\n{model}; written: {path}")
    if errors:
        raise CommandError(
            f"{errors.total()} pictures failed ({error_counts(errors)}); LoadGen counts them as"
            " answered, so this result is not valid"
        )
    return 0 if "Result is : VALID" in summary else 1


class Queries:
    """LoadGen's samples as requests, on an event loop in its own thread."""

    def __init__(self, loadgen: Any, service: Service, pictures: Pictures, size: int) -> None:
        self.errors: Counter[str] = Counter()
        self._loadgen = loadgen
        self._service = service
        self._pictures = pictures
        self._pool = ConnectionPool(service, size)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._pool.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def identify(self) -> Model:
        first = islice(map(self._request, range(len(self._pictures.paths))), 8)
        model = identify(self._service, first)
        return asyncio.run_coroutine_threadsafe(model, self._loop).result()

    def issue(self, samples: list[Any]) -> None:
        self._loop.call_soon_threadsafe(self._start, [(s.id, s.index) for s in samples])

    def _start(self, samples: list[tuple[int, int]]) -> None:
        for sample in samples:
            task = self._loop.create_task(self._send(*sample))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, identity: int, number: int) -> None:
        try:
            async with self._pool.connection() as connection:
                outcome = await ask(connection, *self._request(number))
            self.errors.update(answer for answer in outcome.answers if isinstance(answer, str))
        except CommandError as error:
            self.errors[str(error)] += 1
        finally:  # LoadGen waits for every query
            done = self._loadgen.QuerySampleResponse(identity, 0, 0)
            self._loadgen.QuerySamplesComplete([done])

    def _request(self, number: int) -> Request:
        return self._service.detect(self._pictures.read(number)), [number]
