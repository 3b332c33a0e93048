#!/bin/bash
# tests/docker/stand_in/build.sh TAG: an image under TAG that answers like TensorFlow Serving, for machines
# that cannot pull it. TF_SERVING_IMAGE=TAG makes compose build on it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
tag=${1:?which tag}
docker build -q -f docker/Dockerfile.cpu --target compiler -t yolov4-compile-cpu \
  ${PYTHON_IMAGE:+--build-arg PYTHON_IMAGE="$PYTHON_IMAGE"} .
docker build -q -f tests/docker/stand_in/Dockerfile -t "$tag" .
