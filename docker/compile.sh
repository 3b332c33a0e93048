#!/bin/sh
# The artefact of this image's target, unless the model's newest version is one already.
# MODEL, and for another than the bundled one CFG, WEIGHTS and NAMES, come from the environment.
set -eu
: "${TARGET:?}" "${MODEL:=demo}"
newest=$(find "/models/$MODEL" -maxdepth 1 -name '[0-9]*' -exec basename {} \; 2>/dev/null | sort -n | tail -1)
if [ -n "$newest" ] && [ -z "${FORCE:-}" ]; then
  about="/models/$MODEL/$newest/assets.extra/model.json"
  built=$TARGET # somebody else's SavedModel, who will know
  [ ! -e "$about" ] || built=$(sed -n 's/^ *"target": "\(.*\)".*/\1/p' "$about")
  if [ "${built:-cpu}" = "$TARGET" ]; then
    echo "model_repository/$MODEL/$newest is there; FORCE=1 makes another version"
    exit 0
  fi
  echo "model_repository/$MODEL/$newest is for ${built:-cpu}; $TARGET needs a version of its own"
fi
if [ "$MODEL" = demo ]; then
  CFG=yolov4/demo/demo.cfg WEIGHTS=yolov4/demo/demo.weights NAMES=yolov4/demo/demo.names
fi
if [ -z "${CFG:-}" ] || [ -z "${WEIGHTS:-}" ] || [ -z "${NAMES:-}" ]; then
  echo "There is no version of $MODEL for $TARGET in model_repository. To make one:" >&2
  echo "  TARGET=$TARGET MODEL=$MODEL WEIGHTS_DIR=weights CFG=yolov4" \
    "WEIGHTS=weights/yolov4.weights NAMES=weights/coco.names docker compose run --rm compile" >&2
  exit 2
fi
if [ ! -w /models ]; then
  echo "model_repository cannot be written by user $(id -u): set COMPILE_USER=\$(id -u):\$(id -g)" >&2
  exit 2
fi
exec python -m yolov4 export --target "$TARGET" --name "$MODEL" \
  --cfg "$CFG" --weights "$WEIGHTS" --names "$NAMES" --repository /models
