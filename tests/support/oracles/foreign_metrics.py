"""Scrapes of other exporters in the shape they really have, with made-up values.

TF Serving: seen from version 2.20.0 (batching was on). neuron-monitor: as published from an
inf1.xlarge under load. dcgm-exporter: its etc/default-counters.csv; no GPU was at hand.
"""

import re
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_PREDICT = 'model_name="demo",API="predict",entrypoint="GRPC"'
TF_SERVING = f"""\
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{{model_name="demo",status="OK"}} 100
:tensorflow:serving:request_count{{model_name="demo",status="INVALID_ARGUMENT"}} 3
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{{{_PREDICT},le="10000"}} 50
:tensorflow:serving:request_latency_bucket{{{_PREDICT},le="18000"}} 100
:tensorflow:serving:request_latency_bucket{{{_PREDICT},le="+Inf"}} 100
:tensorflow:serving:request_latency_sum{{{_PREDICT}}} 1100000
:tensorflow:serving:request_latency_count{{{_PREDICT}}} 100
# TYPE :tensorflow:serving:model_warmup_latency histogram
:tensorflow:serving:model_warmup_latency_bucket{{model_path="/models/m/1",status="OK",le="+Inf"}} 1
:tensorflow:serving:model_warmup_latency_sum{{model_path="/models/m/1",status="OK"}} 700000
:tensorflow:serving:model_warmup_latency_count{{model_path="/models/m/1",status="OK"}} 1
# TYPE :tensorflow:serving:batching_session:queuing_latency histogram
:tensorflow:serving:batching_session:queuing_latency_bucket{{thread_pool_name="demo",le="1800"}} 90
:tensorflow:serving:batching_session:queuing_latency_bucket{{thread_pool_name="demo",le="+Inf"}} 100
:tensorflow:serving:batching_session:queuing_latency_sum{{thread_pool_name="demo"}} 90000
:tensorflow:serving:batching_session:queuing_latency_count{{thread_pool_name="demo"}} 100
# TYPE :tensorflow:serving:batching_session:processed_batch_size histogram
:tensorflow:serving:batching_session:processed_batch_size_bucket{{le="4"}} 40
:tensorflow:serving:batching_session:processed_batch_size_bucket{{le="+Inf"}} 50
:tensorflow:serving:batching_session:processed_batch_size_sum{{}} 150
:tensorflow:serving:batching_session:processed_batch_size_count{{}} 50
"""

_EC2 = (
    'availability_zone="us-east-2a",instance_id="i-0",instance_name="",instance_type="inf1.xlarge",'
    'region="us-east-2",subnet_id="subnet-0"'
)
_RUNTIME = f'{_EC2},runtime_tag="15439"'
NEURON_MONITOR = "\n".join(
    [
        "# TYPE execution_errors_total counter",
        *(
            f'execution_errors_total{{{_RUNTIME},error_type="{kind}"}} 0'
            for kind in ("generic", "numerical", "transient", "model", "runtime", "hardware")
        ),
        "# TYPE execution_status_total counter",
        f'execution_status_total{{{_RUNTIME},status_type="completed"}} 14',
        *(
            f'execution_status_total{{{_RUNTIME},status_type="{kind}"}} 0'
            for kind in (
                *("completed_with_err", "completed_with_num_err", "timed_out"),
                *("incorrect_input", "failed_to_queue"),
            )
        ),
        "# TYPE execution_latency_seconds gauge",
        *(
            f'execution_latency_seconds{{{_RUNTIME},percentile="{name}"}} 0.0033'
            for name in ("p0", "p1", "p25", "p50", "p75", "p99", "p100")
        ),
        "# TYPE neuron_runtime_memory_used_bytes gauge",
        f'neuron_runtime_memory_used_bytes{{{_RUNTIME},memory_location="host"}} 1.1e+09',
        f'neuron_runtime_memory_used_bytes{{{_RUNTIME},memory_location="neuron_device"}} 6.3e+07',
        "# TYPE neuroncore_utilization_ratio gauge",
        *(
            f'neuroncore_utilization_ratio{{{_RUNTIME},neuroncore="{core}"}} 0.89'
            for core in range(4)
        ),
        "# TYPE hardware_ecc_events_total counter",
        *(
            f'hardware_ecc_events_total{{{_EC2},event_type="{kind}",neuron_device_index="0"}} 0'
            for kind in (
                *("mem_ecc_corrected", "mem_ecc_uncorrected"),
                *("sram_ecc_corrected", "sram_ecc_uncorrected"),
            )
        ),
        "# TYPE system_vcpu_usage_ratio gauge",
        f'system_vcpu_usage_ratio{{{_EC2},usage_type="user"}} 0.26',
        f'system_vcpu_usage_ratio{{{_EC2},usage_type="system"}} 0.04',
        "",
    ]
)

_GPU = (
    'gpu="0",UUID="GPU-0",pci_bus_id="00000000:00:1E.0",device="nvidia0",modelName="Tesla T4",'
    'Hostname="0"'
)
DCGM_EXPORTER = f"""\
# TYPE DCGM_FI_DEV_GPU_TEMP gauge
DCGM_FI_DEV_GPU_TEMP{{{_GPU}}} 61
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{{{_GPU}}} 68.2
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{{{_GPU}}} 97
# TYPE DCGM_FI_DEV_XID_ERRORS gauge
DCGM_FI_DEV_XID_ERRORS{{{_GPU}}} 0
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{{{_GPU}}} 3011
"""

SCRAPES = {  # by the job that makes them in prometheus.yml
    "model-server": TF_SERVING,
    "chip": NEURON_MONITOR + DCGM_EXPORTER,
}
PROMETHEUS: dict[str, set[str]] = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}


def samples(scrape: str) -> Iterator[tuple[str, Sample, bool]]:
    """Name, sample, and whether it is a counter's or histogram's. (The parser of prometheus_client
    adds `_total` to the names of counters that are without it, as TensorFlow Serving's are.)"""
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            own = re.search(rf"^{sample.name}\b", scrape, re.M) is not None
            name = sample.name if own else sample.name.removesuffix("_total")
            yield name, sample, family.type in ("counter", "histogram")


def labels(scrape: str) -> dict[str, set[str]]:
    """Name -> its labels, with those that Prometheus adds."""
    names: dict[str, set[str]] = {}
    for name, sample, _ in samples(scrape):
        names.setdefault(name, {"job", "instance"}).update(sample.labels)
    return names


FOREIGN = {
    **{name: seen for scrape in SCRAPES.values() for name, seen in labels(scrape).items()},
    **PROMETHEUS,
}
