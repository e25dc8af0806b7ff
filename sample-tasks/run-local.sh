#!/usr/bin/env bash
# Runs a sample in a container without CloudAI, with the same limits that a task would get.
#   sample-tasks/run-local.sh [OPTION…] SAMPLE [ARGUMENT…]
#   sample-tasks/run-local.sh [OPTION…] [FILE] [ARGUMENT…]     data-processing; FILE: default this machine's own package database
# OPTIONS: --cpu N, --memory SIZE, --gpu N as for a task; --attempt N (CLOUDAI_ATTEMPT, default 1); --results FOLDER: what the
# task finds as /cloudai/out. The exit code is the sample's.
# shellcheck source-path=SCRIPTDIR source=../deploy/lib.sh
. "$(dirname "$0")/../deploy/lib.sh"

USAGE='sample-tasks/run-local.sh [--cpu N] [--memory SIZE] [--gpu N] [--attempt N] [--results FOLDER] SAMPLE [ARGUMENT…]'
cpu=
memory=
attempt=1
more=()
while [ $# -gt 0 ]; do
    case $1 in
        --cpu | --memory | --gpu | --attempt | --results)
            [ $# -gt 1 ] || die "$1 needs a value" "nothing follows it" "$USAGE"
            ;;
    esac
    case $1 in
        --cpu) cpu=$2 ;;
        --memory) memory=$2 ;;
        --gpu) more+=(--gpus "$2") ;;
        --attempt) attempt=$2 ;;
        --results)
            [ -d "$2" ] || die "there is no folder $2" "the sample writes its result there" "mkdir -p $2"
            more+=(--mount "type=bind,source=$(realpath "$2"),target=/cloudai/out")
            ;;
        *) break ;;
    esac
    shift 2
done

sample=data-processing
case ${1:-} in
    data-processing | cpu-heavy | memory-heavy | io-heavy | gpu-probe | flaky | long-runner | short)
        sample=$1
        shift
        ;;
esac
image=cloudai/$sample:latest
command=("$sample")
case $sample in
    data-processing)
        input=/var/lib/dpkg/status
        if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
            input=$1
            shift
        fi
        [ -r "$input" ] || die "cannot read $input" "it is missing, or this user may not, and it is no sample's name" \
            "name a text file: sample-tasks/run-local.sh FILE"
        more+=(--mount "type=bind,source=$(realpath "$input"),target=/input,readonly")
        command+=(--input /input)
        ;;
    cpu-heavy) cpu=${cpu:-1} ;;
    memory-heavy) memory=${memory:-128m} ;;
    io-heavy) cpu=${cpu:-1} ;;
    short)
        image=cloudai/busybox:latest
        # shellcheck disable=SC2016 # for the container's shell
        command=(sh -c 'sleep 0.2; echo "task $CLOUDAI_TASK_INDEX of $CLOUDAI_TASK_COUNT"')
        ;;
esac
engine_answers || die "no Docker engine answers" "the sample runs as a container" \
    "start one, or: deploy/with-engine.sh sample-tasks/run-local.sh $sample"
"$ROOT/sample-tasks/build.sh" "$sample"
memory=${memory:-64m}
# The scratch is a nameless volume, on the engine's disk, and goes with the container. A task of CloudAI has no swap either.
exec docker run --rm --init --network none --cpus "${cpu:-0.5}" --memory "$memory" --memory-swap "$memory" --pids-limit 4096 \
    --read-only --cap-drop ALL --security-opt no-new-privileges --mount type=volume,target=/tmp \
    --env CLOUDAI_JOB=local --env CLOUDAI_TASK=local/0 --env CLOUDAI_TASK_INDEX=0 --env CLOUDAI_TASK_COUNT=1 \
    --env "CLOUDAI_ATTEMPT=$attempt" --env CLOUDAI_FENCE=0.0 "${more[@]}" \
    "$image" "${command[@]}" "$@"
