"""The shards as a Ray Data pipeline, for those who have a cluster.

Shards are written once whichever engine computes them, so a job that one engine has begun can be
finished by the other, and nothing of Ray needs a checkpoint.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..options import Options, Stop
from .job import Job
from .stores import open_store
from .worker import Report, Worker


def run(job: Job, shards: Sequence[int], options: Options) -> Report:
    """Runs `--ray-workers` shards at a time on the cluster of RAY_ADDRESS, or on this machine."""
    try:
        import ray
    except ImportError as error:
        raise Stop("--engine ray needs Ray: pip install 'ray[data]'") from error

    def detect(batch: dict[str, Any]) -> dict[str, Any]:
        source, folder = open_store(options.source), open_store(options.job)
        shards = [int(shard) for shard in batch["item"]]
        report = asyncio.run(Worker(job, source, folder, options).run(shards, lambda _: None))
        return {"report": [asdict(report)]}

    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    total = Report()
    if shards:
        tasks = ray.data.from_items(list(shards), override_num_blocks=len(shards))
        # The work is waiting for the service: a fraction of a core.
        tasks = tasks.map_batches(
            detect, batch_size=1, num_cpus=0.25, concurrency=options.ray_workers
        )
        try:
            for row in tasks.iter_rows():
                total.merge(Report(**row["report"]))
        except ray.exceptions.RayError as error:
            raise Stop(f"A Ray task failed: {str(error).strip().splitlines()[-1]}") from error
    return total
