#!/bin/bash
# neuron-monitor writes JSON, its companion serves it to Prometheus. When either ends, both do, and
# the container is started anew.
set -euo pipefail
neuron-monitor | neuron-monitor-prometheus.py --port 9010
