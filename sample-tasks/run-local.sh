#!/usr/bin/env bash
# Runs the data-processing sample in a container without CloudAI, with the same limits that a task would get.
#   sample-tasks/run-local.sh [FILE] [ARGUMENT…]      FILE: default this machine's own package database
# shellcheck source-path=SCRIPTDIR source=../deploy/lib.sh
. "$(dirname "$0")/../deploy/lib.sh"

input=/var/lib/dpkg/status
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    input=$1
    shift
fi
[ -r "$input" ] || die "cannot read $input" "it is missing, or this user may not" "name a text file: sample-tasks/run-local.sh FILE"
engine_answers || die "no Docker engine answers" "the sample runs as a container" \
    "start one, or: deploy/with-engine.sh sample-tasks/run-local.sh $input"
"$ROOT/sample-tasks/build.sh"
exec docker run --rm --init --network none --cpus 0.5 --memory 64m --read-only --cap-drop ALL \
    --mount "type=bind,source=$(realpath "$input"),target=/input,readonly" \
    cloudai/data-processing:latest data-processing --input /input "$@"
