#!/usr/bin/env bash
# Runs every sample's program with python3, without an engine: each documented exit code, and the results. Part of make test.
#   sample-tasks/test.sh [SAMPLE…]
# shellcheck source-path=SCRIPTDIR source=../deploy/lib.sh
. "$(dirname "$0")/../deploy/lib.sh"

HERE=$ROOT/sample-tasks
SAMPLES=(data-processing cpu-heavy memory-heavy io-heavy gpu-probe flaky long-runner)
LIMIT_S=60
have python3 || die "there is no python3" "the samples are Python programs" "apt-get install python3"
# Not python3 itself, which may be a script that looks for the right one each time.
python=$(python3 -c 'import sys; print(sys.executable)')
export PYTHONDONTWRITEBYTECODE=1
# Some samples crash on purpose.
ulimit -c 0
unset CLOUDAI_ATTEMPT CLOUDAI_TASK_INDEX NVIDIA_VISIBLE_DEVICES CUDA_VISIBLE_DEVICES

work=$(mktemp -d "${TMPDIR:-/tmp}/cloudai-samples.XXXXXX")
trap 'rm -rf "$work"' EXIT
checks=0
wrong=0
began=$SECONDS

# fault WHAT: the transcript up to here, and what is wrong with it.
fault() {
    wrong=$((wrong + 1))
    {
        printf '\n$ %s\n' "$shown"
        head -n 20 "$work/stdout" "$work/stderr"
        printf 'WRONG: %s\n' "$1"
    } >&2
}

# expect CODE SAMPLE [ARGUMENT…]: how it ends. Everything but a wrong argument is explained with what, why and next.
expect() {
    local code=$1 sample=$2 got=0 word
    shift 2
    shown="$sample $*"
    checks=$((checks + 1))
    # The shell's own word about a signal is not part of the transcript.
    { timeout "$LIMIT_S" "$python" "$HERE/$sample/$sample" "$@" >"$work/stdout" 2>"$work/stderr" || got=$?; } 2>/dev/null
    ended "$code" "$got"
}
ended() {
    local code=$1 got=$2
    [ "$got" -eq "$code" ] || fault "it ended with $got, not $code"
    case $code in
        0) [ ! -s "$work/stderr" ] || fault "it did what was asked, and has something to say on stderr" ;;
        1 | 3 | 4 | 5)
            for word in '^error: .' '^  why:  .' '^  next: .'; do
                grep -q "$word" "$work/stderr" || fault "stderr has no line with $word"
            done
            ;;
        2) grep -q 'error: .' "$work/stderr" || fault "stderr has no error" ;;
    esac
    ! grep -q Traceback "$work/stderr" || fault "it has no words of its own for this"
}
# says TEXT: in what it printed, on either side. (Without a pipe: grep -q leaves at the first hit, and what still writes to it fails.)
says() {
    checks=$((checks + 1))
    grep -qF -- "$1" "$work/stdout" "$work/stderr" || fault "it does not say '$1'"
}
# result EXPRESSION [FILE]: true of the result r, which is the last line of stdout, or FILE.
result() {
    checks=$((checks + 1))
    "$python" -c 'import json, sys
r = json.loads(open(sys.argv[2], encoding="utf-8").read().strip().splitlines()[-1])
if not eval(sys.argv[1]): sys.exit(f"it is {r}")' "$1" "${2:-$work/stdout}" 2>>"$work/stderr" || fault "the result is not as expected: $1"
}
# printed TEXT PID: waits until it has printed TEXT, or has ended.
printed() {
    until grep -qF -- "$1" "$work/stdout" || ! kill -0 "$2" 2>/dev/null; do sleep 0.02; done
}
# stopped_at CODE TEXT SAMPLE [ARGUMENT…]: it gets SIGTERM as soon as it has printed TEXT.
stopped_at() {
    local code=$1 text=$2 sample=$3 pid got=0
    shift 3
    shown="$sample $*   (SIGTERM at '$text')"
    checks=$((checks + 1))
    : >"$work/stdout"
    timeout "$LIMIT_S" "$python" "$HERE/$sample/$sample" "$@" >"$work/stdout" 2>"$work/stderr" &
    pid=$!
    printed "$text" "$pid"
    # Its parent passes the signal on.
    kill -TERM "$pid"
    wait "$pid" || got=$?
    ended "$code" "$got"
}

# Folders for results: one that can be written, one where result.json cannot be, also by root
mkdir -p "$work/out" "$work/full/result.json" "$work/scratch"
fresh_out() { rm -rf "$work/out" && mkdir "$work/out"; }

test_data_processing() {
    seq -f 'line %g of a file that somebody has' 500 >"$work/words"
    : >"$work/empty"
    expect 0 data-processing --input "$work/words" --pace-ms 0
    says 'point 100/100: 5 lines'
    result 'r["sample"] == "data-processing" and r["data_points"] == 100 and r["summary"]["lines"] == 500'
    result 'len(r["points"]["bytes"]) == 100 and len(r["input_sha256"]) == 64'
    expect 0 data-processing --input "$work/words" --points 50 --pace-ms 0 --out "$work/out"
    result 'r["data_points"] == 50'
    result 'r["data_points"] == 50' "$work/out/result.json"
    printf 'Package: a\nSection: x\nInstalled-Size: 2048\n\nPackage: b\nInstalled-Size: 1024\n' >"$work/status"
    expect 0 data-processing --input "$work/status" --points 150 --pace-ms 0
    result 'r["summary"]["packages"] == 2 and r["summary"]["installed_mib"] == 3.0 and r["data_points"] == 150'
    expect 2 data-processing --points 49
    says '50 to 150 are allowed'
    expect 2 data-processing --points 151
    expect 2 data-processing --pace-ms -1
    expect 3 data-processing --input "$work/none"
    expect 3 data-processing --input "$work/empty"
    expect 5 data-processing --input "$work/words" --pace-ms 0 --out "$work/full"
    result 'r["data_points"] == 100'
}

test_cpu_heavy() {
    expect 0 cpu-heavy --units 6 --cores 2
    result 'r["units"] == 6 and r["cores"] == 2 and r["units_per_second"] > 0 and r["cpu_seconds"] > 0'
    result 'r["checksum"].startswith("53ec")'
    expect 0 cpu-heavy --units 6 --cores 1 --out "$work/out"
    says "result in $work/out/result.json"
    result 'r["cores"] == 1 and r["checksum"].startswith("53ec")' "$work/out/result.json"
    expect 0 cpu-heavy --units 6 --seed 2 --cores 9
    result 'r["cores"] == 6 and not r["checksum"].startswith("53ec")'
    mkdir -p "$work/cg2" "$work/cg1/cpu"
    echo '50000 100000' >"$work/cg2/cpu.max"
    expect 0 cpu-heavy --units 1 --cgroup-root "$work/cg2"
    says '1 units of 16 MiB on 1 cores'
    echo 50000 >"$work/cg1/cpu/cpu.cfs_quota_us"
    echo 100000 >"$work/cg1/cpu/cpu.cfs_period_us"
    expect 0 cpu-heavy --units 1 --cgroup-root "$work/cg1"
    says 'on 1 cores'
    expect 2 cpu-heavy --cores 0
    expect 2 cpu-heavy --units many
    expect 5 cpu-heavy --units 1 --cores 1 --out "$work/full"
    # One of its processes is killed, as the kernel does it when memory runs out.
    shown='cpu-heavy --units 100000 --cores 2   (SIGKILL to a process of it)'
    checks=$((checks + 1))
    local pid got=0
    : >"$work/stdout"
    "$python" "$HERE/cpu-heavy/cpu-heavy" --units 100000 --cores 2 >"$work/stdout" 2>"$work/stderr" &
    pid=$!
    local children=()
    until [ ${#children[@]} -gt 0 ] || ! kill -0 "$pid" 2>/dev/null; do
        sleep 0.02
        read -ra children <"/proc/$pid/task/$pid/children" || true
    done
    kill -KILL "${children[0]:-$pid}"
    wait "$pid" || got=$?
    ended 4 "$got"
}

test_memory_heavy() {
    mkdir -p "$work/v2" "$work/v1/memory" "$work/none" "$work/small"
    echo max >"$work/none/memory.max"
    echo $((80 << 20)) >"$work/v2/memory.max"
    echo $((80 << 20)) >"$work/v1/memory/memory.limit_in_bytes"
    echo $((12 << 20)) >"$work/small/memory.max"
    local quick=(--pause 0 --hold 0)
    expect 0 memory-heavy --size 20m --step 8m "${quick[@]}" --cgroup-root "$work/none"
    result 'r["taken_bytes"] == 20 << 20 and r["steps"] == 3 and not r["cut"] and r["limit_bytes"] is None'
    result 'r["peak_bytes"] > 20 << 20'
    expect 0 memory-heavy --size 1g "${quick[@]}" --cgroup-root "$work/v2" --out "$work/out"
    says 'would go over the limit: cut to'
    result 'r["cut"] and 32 << 20 < r["taken_bytes"] and r["peak_bytes"] < 80 << 20 == r["limit_bytes"]' "$work/out/result.json"
    expect 0 memory-heavy --size 1g "${quick[@]}" --cgroup-root "$work/v1"
    result 'r["cut"] and r["limit_bytes"] == 80 << 20 and r["limit_file"].endswith("/v1/memory/memory.limit_in_bytes")'
    expect 2 memory-heavy --size lots
    expect 2 memory-heavy --step 1k
    expect 2 memory-heavy --hold -1
    expect 3 memory-heavy "${quick[@]}" --cgroup-root "$work/small"
    says 'leaves no room'
    expect 3 memory-heavy --over "${quick[@]}" --cgroup-root "$work/none"
    says 'has no limit to go over'
    expect 4 memory-heavy --over "${quick[@]}" --cgroup-root "$work/v2"
    says '100.0 MiB are taken under a limit of 80.0 MiB'
    expect 5 memory-heavy --size 1m "${quick[@]}" --cgroup-root "$work/none" --out "$work/full"
}

test_io_heavy() {
    local scratch=(--folder "$work/scratch")
    expect 0 io-heavy "${scratch[@]}" --size 3m --block 700k --rounds 2
    result 'r["bytes"] == 6 << 20 and r["blocks"] == 10 and r["write_mb_per_second"] > 0 and r["read_mb_per_second"] > 0'
    result 'r["sha256"].startswith("c603")'
    expect 0 io-heavy "${scratch[@]}" --size 3m --block 700k --rounds 2 --seed 2 --out "$work/out"
    result 'not r["sha256"].startswith("c603")' "$work/out/result.json"
    expect 2 io-heavy --size 1k
    expect 2 io-heavy --block 1
    expect 2 io-heavy --rounds 0
    expect 3 io-heavy --folder "$work/nowhere"
    expect 4 io-heavy "${scratch[@]}" --size 1m --spoil
    says 'came back with another content'
    expect 5 io-heavy "${scratch[@]}" --size 1m --rounds 1 --out "$work/full"
    stopped_at 143 'round 2/' io-heavy "${scratch[@]}" --size 1m --rounds 1000000
    [ -z "$(ls -A "$work/scratch")" ] || fault "it left something in its scratch folder"
}

test_gpu_probe() {
    local nothing=(--proc "$work/no-proc" --dev "$work/no-dev") PATH=$PATH
    mkdir -p "$work/bin" "$work/proc/gpus/0000:01:00.0" "$work/proc/gpus/0000:02:00.0" "$work/dev"
    printf 'Model: \t\t NVIDIA X\nGPU UUID: \t GPU-aa\nDevice Minor: \t 0\n' >"$work/proc/gpus/0000:01:00.0/information"
    printf 'Model: \t\t NVIDIA X\nGPU UUID: \t GPU-bb\nDevice Minor: \t 1\n' >"$work/proc/gpus/0000:02:00.0/information"
    echo 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5' >"$work/proc/version"
    if have nvidia-smi; then
        say "NOT RUN: gpu-probe without a GPU (this machine has nvidia-smi)"
    else
        expect 3 gpu-probe "${nothing[@]}"
        says 'there is no GPU here'
        result 'r["count"] == 0 and r["source"] is None'
        expect 0 gpu-probe "${nothing[@]}" --expect 0
        expect 3 gpu-probe --proc "$work/proc" --dev "$work/dev"
        says 'this task was given no GPU'
        : >"$work/dev/nvidia1"
        expect 0 gpu-probe --proc "$work/proc" --dev "$work/dev" --expect 1
        result 'r["source"] == "driver" and [g["uuid"] for g in r["gpus"]] == ["GPU-bb"] and r["driver_knows"] == 2'
        result 'r["gpus"][0]["driver"] == "550.54.15" and r["gpus"][0]["memory_mib"] is None'
    fi
    PATH=$work/bin:$PATH
    # Stands in for NVIDIA's program: prints what the query of gpu-probe gets from it.
    printf '#!/bin/sh\necho "0, GPU-aa, NVIDIA X, 81559, 7, [N/A], 550.54.15"\necho "1, GPU-bb, NVIDIA X, 81559, 0, 31, 550.54.15"\n' \
        >"$work/bin/nvidia-smi"
    chmod 755 "$work/bin/nvidia-smi"
    NVIDIA_VISIBLE_DEVICES=0,1 expect 0 gpu-probe "${nothing[@]}" --out "$work/out"
    says 'NVIDIA_VISIBLE_DEVICES: 0,1'
    result 'r["source"] == "nvidia-smi" and r["count"] == 2 and r["gpus"][0]["memory_mib"] == 81559' "$work/out/result.json"
    result 'r["gpus"][0]["temperature_c"] is None and r["gpus"][1]["temperature_c"] == 31' "$work/out/result.json"
    expect 4 gpu-probe "${nothing[@]}" --expect 1
    expect 2 gpu-probe --expect -1
    expect 5 gpu-probe "${nothing[@]}" --out "$work/full"
    printf '#!/bin/sh\necho "Driver/library version mismatch"\nexit 18\n' >"$work/bin/nvidia-smi"
    expect 3 gpu-probe "${nothing[@]}"
    says 'nvidia-smi ended with 18 and said: Driver/library version mismatch'
}

test_flaky() {
    local quick=(--work 0)
    expect 1 flaky "${quick[@]}"
    CLOUDAI_ATTEMPT=2 expect 1 flaky "${quick[@]}"
    CLOUDAI_ATTEMPT=3 expect 0 flaky "${quick[@]}"
    result 'r["attempt"] == 3 and r["ending"] == "ok"'
    CLOUDAI_ATTEMPT=9 expect 0 flaky "${quick[@]}" --pattern fail,ok --out "$work/out"
    result 'r["attempt"] == 9' "$work/out/result.json"
    expect 1 flaky "${quick[@]}" --pattern ok,fail --attempt 2
    expect 42 flaky "${quick[@]}" --pattern exit:42
    expect 0 flaky "${quick[@]}" --pattern exit:0
    expect 137 flaky "${quick[@]}" --pattern signal:KILL
    expect 139 flaky "${quick[@]}" --pattern signal:SIGSEGV
    expect 143 flaky "${quick[@]}" --pattern signal:15
    expect 0 flaky "${quick[@]}" --pattern maybe:0
    expect 1 flaky "${quick[@]}" --pattern maybe:1
    # Chance, but the same one each time.
    CLOUDAI_TASK_INDEX=6 expect 1 flaky "${quick[@]}" --pattern maybe:0.5
    CLOUDAI_TASK_INDEX=5 expect 0 flaky "${quick[@]}" --pattern maybe:0.5
    stopped_at 143 'then hang' flaky "${quick[@]}" --pattern hang
    shown='flaky --work 0 --pattern deaf   (SIGTERM, then SIGKILL)'
    checks=$((checks + 1))
    local pid got=0
    : >"$work/stdout"
    "$python" "$HERE/flaky/flaky" "${quick[@]}" --pattern deaf >"$work/stdout" 2>"$work/stderr" &
    pid=$!
    printed 'then deaf' "$pid"
    kill -TERM "$pid"
    printed 'SIGTERM heard, and ignored' "$pid"
    kill -KILL "$pid"
    { wait "$pid" || got=$?; } 2>/dev/null
    ended 137 "$got"
    says 'SIGTERM heard, and ignored'
    expect 2 flaky --pattern sometimes
    expect 2 flaky --pattern exit:256
    expect 2 flaky --pattern signal:NONE
    expect 2 flaky --attempt 0
    CLOUDAI_ATTEMPT=first expect 2 flaky
    expect 5 flaky "${quick[@]}" --pattern ok --out "$work/full"
}

test_long_runner() {
    local short=(--for 600ms --unit 15ms)
    expect 0 long-runner "${short[@]}"
    says 'unit 40/40'
    result 'r["done"] == 40 and not r["stopped"] and r["continued_after"] == 0 and r["digest"].startswith("444f")'
    # The digest counts the units, however long they are.
    stopped_at 0 'unit 2/' long-runner --for 60s --unit 100ms --checkpoint "$work/checkpoint"
    says 'SIGTERM: stopped'
    result 'r["stopped"] and 2 <= r["done"] < 40 and not r["digest"].startswith("444f")'
    expect 0 long-runner "${short[@]}" --checkpoint "$work/checkpoint"
    result 'r["done"] == 40 and r["continued_after"] >= 2 and r["digest"].startswith("444f")'
    expect 0 long-runner "${short[@]}" --from "$work/checkpoint"
    result 'r["continued_after"] >= 2 and r["digest"].startswith("444f")'
    stopped_at 75 'unit 1/' long-runner --for 60s --unit 200ms --stop-code 75 --out "$work/out"
    says "checkpoint in $work/out/checkpoint.json"
    result 'r["stopped"] and r["units"] == 300' "$work/out/result.json"
    stopped_at 0 'unit 1/' long-runner --for 60s --unit 100ms
    says 'checkpoint: {"sample": "long-runner"'
    expect 2 long-runner --for soon
    expect 2 long-runner --for 1s --unit 2s
    expect 2 long-runner --stop-code 256
    expect 3 long-runner "${short[@]}" --from "$work/nothing"
    expect 3 long-runner "${short[@]}" --from "$work/checkpoint" --seed 2
    says 'it was written with --seed 1, not 2'
    echo '{' >"$work/broken"
    expect 3 long-runner "${short[@]}" --checkpoint "$work/broken"
    stopped_at 3 'unit 1/' long-runner --for 60s --unit 100ms --checkpoint "$work/nowhere/checkpoint"
    expect 5 long-runner "${short[@]}" --out "$work/full"
}

# The page names every flag that the program has, and the table of all samples names the page.
test_pages() {
    local sample=$1 flag
    expect 0 "$sample" --help
    says 'Exit codes:'
    while read -r flag; do
        [ "$flag" = --help ] || grep -qF -- "$flag" "$HERE/$sample/README.md" || fault "$sample/README.md does not know $flag"
    done < <(grep -oE -- '--[a-z][a-z-]*' "$work/stdout" | sort -u)
    grep -qF "($sample/README.md)" "$HERE/README.md" || fault "sample-tasks/README.md has no link to $sample/README.md"
}

[ $# -gt 0 ] || set -- "${SAMPLES[@]}"
for sample in "$@"; do
    case " ${SAMPLES[*]} " in
        *" $sample "*) ;;
        *) die "there is no sample '$sample'" "there are: ${SAMPLES[*]}" "sample-tasks/test.sh [SAMPLE…]" ;;
    esac
    fresh_out
    test_pages "$sample"
    "test_${sample//-/_}"
done
[ "$wrong" -eq 0 ] || die "$wrong of $checks checks of the samples failed" "see the transcripts above" \
    "repeat one sample's with: sample-tasks/test.sh SAMPLE"
say "$checks checks of the sample tasks passed in $((SECONDS - began)) s"
