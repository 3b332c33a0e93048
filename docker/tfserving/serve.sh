#!/bin/bash
# The model server in place of this shell, so that signals reach it: the published image's own
# script stays in between. Further arguments are its flags.
set -euo pipefail
: "${MODEL_NAME:?is the folder of /models to serve; several are separated by commas}"
for name in tensorflow_model_server tensorflow_model_server_neuron tensorflow_model_server_neuronx; do
  server=$(command -v "$name") && break
done
: "${server:?there is no tensorflow_model_server in this image}"
if [ -n "${MODEL_CONFIG_FILE:-}" ]; then
  models=("--model_config_file=$MODEL_CONFIG_FILE" --model_config_file_poll_wait_seconds=10)
elif [ -n "${MODEL_VERSIONS:-}" ]; then
  # Versions 1,2 of one model at once, for a canary; MODEL_LABELS=stable=1,canary=2 names them. Another
  # configuration needs a restart: MODEL_CONFIG_FILE is read again.
  config=$(mktemp)
  {
    echo "model_config_list { config { name: \"$MODEL_NAME\" base_path: \"/models/$MODEL_NAME\""
    echo "model_platform: \"tensorflow\" model_version_policy { specific {"
    for version in ${MODEL_VERSIONS//,/ }; do echo "versions: $version"; done
    echo "} }"
    labels=${MODEL_LABELS:-}
    for label in ${labels//,/ }; do
      echo "version_labels { key: \"${label%=*}\" value: ${label#*=} }"
    done
    echo "} }"
  } >"$config"
  models=("--model_config_file=$config")
elif [[ $MODEL_NAME == *,* ]]; then
  config=$(mktemp)
  for name in ${MODEL_NAME//,/ }; do
    echo "config { name: \"$name\" base_path: \"/models/$name\" model_platform: \"tensorflow\" }"
  done | { echo "model_config_list {"; cat; echo "}"; } >"$config"
  models=("--model_config_file=$config")
else
  models=("--model_name=$MODEL_NAME" "--model_base_path=/models/$MODEL_NAME")
fi
# The server refuses what exceeds its gRPC threads, status calls included, instead of queueing it, and
# its default is 4 per CPU. At least gateways x (DETECT_MAX_IN_FLIGHT + 1) + 1; abandoned calls hold one.
# TensorFlow Serving 1.15 has neither the limit nor the flag (both are from 2.5).
threads=(--grpc_max_threads=256)
[ "${NEURON_TENSORFLOW:-}" != 1.15 ] || threads=()
# TensorFlow counts the machine's cores; a container's CPU limit is in its cgroup, version 2 or 1.
cgroup=/sys/fs/cgroup
quota=max period=1
if [ -r $cgroup/cpu.max ]; then
  read -r quota period <$cgroup/cpu.max
elif [ -r $cgroup/cpu/cpu.cfs_quota_us ]; then
  quota=$(<$cgroup/cpu/cpu.cfs_quota_us) period=$(<$cgroup/cpu/cpu.cfs_period_us)
fi
cores=$(nproc)
if [[ $quota =~ ^[0-9]+$ ]] && (((limit = (quota + period - 1) / period) < cores)); then
  cores=$limit
fi
profile=${DETECT_THREADS-latency}
case ${profile,,} in
  latency) threads+=("--tensorflow_intra_op_parallelism=$cores") ;;
  throughput) threads+=(--tensorflow_intra_op_parallelism=1 "--tensorflow_inter_op_parallelism=$cores") ;;
  *) echo "DETECT_THREADS=$profile: use latency or throughput." >&2; exit 1 ;;
esac
# Without it a label could not name a version that is still loading, which at the start all are.
[ -z "${MODEL_CONFIG_FILE:-}${MODEL_LABELS:-}" ] || models+=(--allow_version_labels_for_unavailable_models=true)
exec "$server" --port=8500 --rest_api_port=8501 "${threads[@]}" \
  --monitoring_config_file=/etc/tfserving/monitoring.txt "${models[@]}" "$@"
