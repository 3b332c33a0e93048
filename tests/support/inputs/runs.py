"""Contents of run.json files with known numbers."""

from typing import Any


def a_run(label: str, **changes: Any) -> dict[str, Any]:
    """A soak of two hours as g4dn.xlarge had it in the post; `changes` by dotted name."""
    windows = [
        {
            "start_s": 1800.0 * n,
            "seconds": 1800.0,
            "images": 121500,
            "images_per_s": 67.5,
            "latency_ms": {"p50": 400.0, "p90": 800.0, "p99": 900.0, "max": 1000.0},
            "errors": {},
            "host_cpu_percent": 20.0,
            "host_memory_mb": 900.0,
            "temperature_c": None,
            "frequency_mhz": None,
        }
        for n in range(4)
    ]
    run: dict[str, Any] = {
        "schema": 1,
        "kind": "soak",
        "command": f"python -m loadtest soak --label {label}",
        "date": "2026-11-23T12:00:00Z",
        "commit": "abc1234",
        "ended": "complete",
        "label": label,
        "host": {
            "cpu": "Xeon",
            "cores": 8,
            "memory_mb": 16000,
            "kernel": "6.8",
            "gpu": None,
            "neuron": None,
        },
        "target": {"url": "http://t", "model": "yolov4", "version": 1, "precision": "bf16"},
        "settings": {
            "url": "http://t",
            "images": "val2017",
            "label": label,
            "out": None,
            "seed": 0,
            "callers": 8,
            "batch": 4,
            "duration": 7200.0,
            "window": 1800.0,
        },
        "seed": 0,
        "pictures": {"count": 5000, "sha256": "00ff"},
        "windows": windows,
        "histogram": {"unit": "us", "buckets": [[400000.0, 50], [800000.0, 40], [900000.0, 10]]},
        "search": [],
        "summary": {
            "images": 486000,
            "seconds": 7200.0,
            "images_per_s": 67.5,
            "latency_ms": {
                "mean": 474.0,
                "p50": 400.0,
                "p90": 800.0,
                "p99": 900.0,
                "p999": 900.0,
                "max": 1000.0,
            },
            "variation_percent": 12.0,
            "errors": {},
            "restarts_seen": 0,
        },
        "accuracy": None,
    }
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        inner = run
        for name in path:
            inner = inner[name]
        inner[last] = value
    return run


def inf1(label: str = "inf1", **changes: Any) -> dict[str, Any]:
    faster = {"summary__images_per_s": 118.8, "summary__latency_ms__p90": 320.0}
    return a_run(label, **faster, summary__variation_percent=2.5, **changes)


def server(label: str, rates: dict[float, float], bound: float = 100) -> dict[str, Any]:
    """`rates`: tried -> P99 in milliseconds."""
    run = a_run(label, kind="server", summary__images_per_s=40.0, summary__seconds=30.0)
    run["settings"] = {"bound_ms": bound, "seconds": 30.0}
    run["search"] = [
        {
            "rate": rate,
            "p99_ms": p99,
            "answered_share": 1.0,
            "passed": p99 <= bound,
            "requests": 1000,
        }
        for rate, p99 in rates.items()
    ]
    return run
