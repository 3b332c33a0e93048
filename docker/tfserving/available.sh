#!/bin/bash
# Whether a version of each model is AVAILABLE. The status URL answers 200 in every state, so its words count; and
# the image has no curl.
set -euo pipefail
: "${MODEL_NAME:?}"
for name in ${MODEL_NAME//,/ }; do
  exec 3<>/dev/tcp/127.0.0.1/8501
  printf 'GET /v1/models/%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$name" >&3
  answer=$(timeout 3 cat <&3) || true # a server that keeps the connection open has answered too
  [[ $answer =~ \"state\":\ *\"AVAILABLE\" ]]
done
