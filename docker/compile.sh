#!/bin/sh
# Exports MODEL for this image's target, unless model_repository has a version for it. Several models
# are separated by commas.
# A model that is not built in needs CFG, WEIGHTS and NAMES; FORCE=1 exports a new version.
set -eu
: "${TARGET:?}" "${MODEL:=yolov4-tiny}"
if [ ! -w /models ]; then
  echo "model_repository is not writable by user $(id -u): set COMPILE_USER=\$(id -u):\$(id -g)" >&2
  exit 2
fi
for name in $(echo "$MODEL" | tr , ' '); do
  python -m yolov4 prepare "$name" --target "$TARGET" --repository /models --downloads /opt/weights \
    ${CFG:+--cfg "$CFG"} ${WEIGHTS:+--weights "$WEIGHTS"} ${NAMES:+--names "$NAMES"} ${FORCE:+--force}
done
