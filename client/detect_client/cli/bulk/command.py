"""`detect bulk SOURCE OUTPUT`: reads the command line and runs this worker's shards."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ...results import Model
from ..options import Options, Stop, add_query, add_service
from . import job as jobs
from .export import export
from .stores import normalized, open_store
from .ways import open_way
from .worker import Report, Worker

INDEX_VARIABLES = ("JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX")


def bulk(arguments: Sequence[str]) -> int:
    """Returns 0, also where pictures have errors: those are rows of the output."""
    options = _parse(arguments)
    options.source, options.output = normalized(options.source), normalized(options.output)
    if f"{options.output}/".startswith(f"{options.source}/"):
        raise Stop(
            f"{options.output} lies in {options.source}: results would be taken for pictures"
        )
    about = {
        "source": options.source,
        "score_threshold": options.score_threshold,
        "max_detections": options.max_detections,
        "labels": sorted(options.label),
    }
    model = asyncio.run(_served(options))
    options.job = f"{options.output}/{jobs.folder_name(model, about)}"
    source, folder = open_store(options.source), open_store(options.job)
    job = jobs.start(source, folder, model, about, options.shard_size)
    if job.shard_size != options.shard_size:
        _say(f"{job.shard_size} pictures a shard, as the job was started with")
    index, of = options.shard
    mine = range(index, job.shards, of)
    todo = sorted(set(mine) - job.done(folder))
    _say(f"{options.job}: {len(job.manifest)} pictures in {job.shards} shards")
    _say(f"worker {index} of {of}: {len(todo)} of {len(mine)} shards to do")
    if options.engine == "ray":
        from .ray_engine import run

        report = run(job, todo, options)
    else:
        report = asyncio.run(Worker(job, source, folder, options).run(todo, _progress))
    _say(f"{report.pictures} pictures in {report.shards} shards, {report.errors} with an error")
    for line in report.examples:
        _say(f"  {line}")
    _say(f"{len(job.done(folder))} of {job.shards} shards are written")
    return 0


def bulk_export(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        "detect bulk-export", description="A finished bulk job in another format."
    )
    add = parser.add_argument
    add("job", help="folder of the job, as `detect bulk` printed it: a folder or s3://bucket/…")
    add("--out", type=Path, required=True, help=".json (COCO), .jsonl or .csv")
    add("--annotations", type=Path, metavar="FILE", help="COCO annotations whose ids to use")
    options = parser.parse_args(arguments, Options())
    counts = export(options)
    _say(f"{counts[0]} pictures in {options.out}, {counts[1]} left out: they have an error")
    return 0


async def _served(options: Options) -> Model:
    async with open_way(options) as way:
        return await way.model()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _progress(report: Report) -> None:
    _say(f"{report.pictures} pictures, {report.errors} with an error")


def _parse(arguments: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        "detect bulk",
        description="Detect objects in all pictures of a bucket or folder, into Parquet files.",
    )
    add = parser.add_argument
    add("source", help="s3://bucket/prefix, or a folder")
    add("output", help="s3://bucket/prefix, or a folder")
    add_service(parser)
    _add_server(parser)
    add_query(parser)
    add(
        "--shard-size",
        type=int,
        default=1000,
        metavar="N",
        help="pictures in one Parquet file; what a killed worker loses at most"
        " (default: %(default)s)",
    )
    add(
        "--max-bytes",
        type=int,
        default=50_000_000,
        metavar="N",
        help="larger objects are not read: their row has an error (default: %(default)s)",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--shard",
        type=_share,
        default=(0, 1),
        metavar="I/N",
        help="this is worker I of N, counted from 0: every Nth shard (default: 0/1)",
    )
    which.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help=f"the same with I from ${' or $'.join(INDEX_VARIABLES)}",
    )
    add("--rate", type=float, metavar="R", help="at most R pictures a second from this worker")
    add(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: the shards as tasks of a Ray cluster (default: %(default)s)",
    )
    add("--ray-workers", type=int, default=1, metavar="N", help="shards at a time (default: 1)")
    options = parser.parse_args(arguments, Options())
    if min(options.shard_size, options.in_flight, options.ray_workers) < 1:
        parser.error("--shard-size, --in-flight and --ray-workers are at least 1")
    if options.rate is not None and options.rate <= 0:
        parser.error("--rate is more than 0")
    if options.server is not None and options.model is None:
        parser.error("--server needs --model: a model server does not list its models")
    if options.server is None and (options.tls_ca or options.tls_cert or options.tls_key):
        parser.error("--tls-ca, --tls-cert and --tls-key need --server")
    if options.workers is not None:
        index = next((os.environ[name] for name in INDEX_VARIABLES if name in os.environ), None)
        if index is None:
            parser.error(f"--workers needs ${' or $'.join(INDEX_VARIABLES)}; else use --shard I/N")
        options.shard = _checked(parser, index, options.workers)
    return options


def _add_server(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--server",
        metavar="ADDRESS",
        help="straight to TensorFlow Serving, without the gateway: grpc://host:port, for TLS"
        " grpcs://host:port; each address of the name gets its share",
    )
    add(
        "--model",
        metavar="NAME",
        help="model's name; required with --server (default: the gateway's first)",
    )
    add("--tls-ca", type=Path, metavar="FILE", help="authority that signed the server (PEM)")
    add("--tls-cert", type=Path, metavar="FILE", help="this client's certificate (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")


def _share(text: str) -> tuple[int, int]:
    index, _, of = text.partition("/")
    share = int(index), int(of)
    if not 0 <= share[0] < share[1]:
        raise ValueError(text)
    return share


def _checked(parser: argparse.ArgumentParser, index: str, of: int) -> tuple[int, int]:
    try:
        return _share(f"{index}/{of}")
    except ValueError:
        parser.error(f"worker {index} of {of}: workers are counted from 0 to {of - 1}")
