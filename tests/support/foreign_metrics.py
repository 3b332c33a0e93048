"""Metrics that are not ours: name -> its labels, from the exporter's own sources.

None of these could be scraped where this was written; a name that its exporter drops would leave an
empty panel, not an error.
"""

# tensorflow/serving at 9d981c5c: servables/tensorflow/util.cc, saved_model_warmup_util.cc,
# batching/batching_session.cc; util/prometheus_exporter.cc makes `:` of what is not [a-zA-Z0-9_].
_HISTOGRAMS = {
    ":tensorflow:serving:request_latency": {"model_name", "API", "entrypoint"},
    ":tensorflow:serving:runtime_latency": {"model_name", "API", "runtime"},
    ":tensorflow:serving:model_warmup_latency": {"model_path", "status"},
    ":tensorflow:serving:batching_session:queuing_latency": {"thread_pool_name"},
    ":tensorflow:serving:batching_session:processed_batch_size": {"thread_pool_name"},
}
TF_SERVING: dict[str, set[str]] = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    **{f"{name}_bucket": labels | {"le"} for name, labels in _HISTOGRAMS.items()},
    **{f"{name}_sum": labels for name, labels in _HISTOGRAMS.items()},
    **{f"{name}_count": labels for name, labels in _HISTOGRAMS.items()},
}

# aws-neuron/aws-neuron-sdk src/examples/neuron-monitor/neuron-monitor-grafana.json, and the scrape
# of a Trainium in the tests of open-telemetry's awscontainerinsightreceiver.
NEURON_MONITOR: dict[str, set[str]] = {
    "neuroncore_utilization_ratio": {"neuroncore"},
    "neuron_runtime_memory_used_bytes": {"memory_location"},
    "execution_latency_seconds": {"percentile"},
    "execution_errors_total": {"error_type"},
    "hardware_ecc_events_total": {"event_type", "neuron_device_index"},
}

# NVIDIA/dcgm-exporter etc/default-counters.csv
DCGM_EXPORTER: dict[str, set[str]] = {
    "DCGM_FI_DEV_GPU_UTIL": {"gpu"},
    "DCGM_FI_DEV_FB_USED": {"gpu"},
}

PROMETHEUS: dict[str, set[str]] = {"up": {"job"}, "ALERTS": {"alertname", "alertstate"}}

FOREIGN = {**TF_SERVING, **NEURON_MONITOR, **DCGM_EXPORTER, **PROMETHEUS}
