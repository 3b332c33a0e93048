#!/bin/sh
# Copies each version that SOURCE (s3://bucket/prefix/name) has and DESTINATION has not. A version
# appears by rename, because the server loads what it sees. Once, or every EVERY_S seconds.
set -eu
fetch() {
  listing=$(aws s3 ls "$SOURCE/")
  versions=$(echo "$listing" | while read -r kind name _; do [ "$kind" != PRE ] || echo "${name%/}"; done)
  for version in $versions; do
    case $version in *[!0-9]*) continue ;; esac # TensorFlow Serving reads numbers only
    [ ! -e "$DESTINATION/$version" ] || continue
    incoming=$DESTINATION/.incoming/$version
    mkdir -p "$incoming"
    aws s3 sync --only-show-errors "$SOURCE/$version/" "$incoming/"
    mv "$incoming" "$DESTINATION/$version"
    echo "version $version copied from $SOURCE"
  done
  set -- "$DESTINATION"/[0-9]*
  [ -e "$1" ] || { echo "$SOURCE has no version: expected $SOURCE/1/saved_model.pb" >&2; return 1; }
}
if [ "$EVERY_S" = 0 ]; then
  fetch
  exit
fi
trap 'exit 0' TERM
while true; do
  sleep "$EVERY_S" & wait $! # a trap waits for a command in the foreground
  fetch || echo "trying again in $EVERY_S s" >&2
done
