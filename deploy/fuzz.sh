#!/usr/bin/env bash
# Every fuzzer for so many seconds: deploy/fuzz.sh SECONDS [TARGET...]. Inputs that crash are kept in the corpus, and are
# a failing test from then on. `FUZZ_KEEP=1` also keeps a small set of the new inputs that reach new code.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

seconds=${1:-60}
[ $# -gt 0 ] && shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(spec proto apply log token http grpc history tls)
corpora=$ROOT/crates/cloudai-fuzz/corpus
# What a run has found and need not find again: outside the clone, and free to be thrown away.
found=$CACHE/fuzz
mkdir -p "$found"

# The wrapper is part of a crate's identity for cargo: these artifacts lie beside the ordinary ones, and all dependencies are
# shared with them.
say "Building the fuzzers (this workspace's crates only)"
began=$SECONDS
RUSTC_WORKSPACE_WRAPPER=$ROOT/deploy/fuzz-rustc.sh cargo build --quiet --locked --workspace --bin cloudai-fuzz
cp -f "$CARGO_TARGET_DIR/debug/cloudai-fuzz" "$found/cloudai-fuzz"
say "Built in $((SECONDS - began)) s"

crashed=0
printf '%-8s %12s %9s %9s %9s %9s  %s\n' target executions per-s edges features inputs result
for target in "${targets[@]}"; do
    mkdir -p "$found/$target" "$found/crashes"
    log=$found/$target.log
    case $target in
    spec | proto | log | token | http | grpc) length=4096 ;;
    apply) length=8192 ;;
    history | tls) length=2048 ;;
    *) die "there is no fuzzer '$target'" "" "choose among spec proto apply log token http grpc history tls" ;;
    esac
    rc=0
    # The hook of libfuzzer-sys turns every panic, of any thread, into a crash.
    RUST_BACKTRACE=0 FUZZ_TARGET=$target timeout --signal=TERM --kill-after=10 $((seconds + 60)) \
        "$found/cloudai-fuzz" -max_total_time="$seconds" -max_len="$length" -timeout=10 -rss_limit_mb=4096 \
        -print_final_stats=1 -artifact_prefix="$found/crashes/$target-" \
        "$found/$target" "$corpora/$target" >"$log" 2>&1 || rc=$?
    last=$(grep -E '^#[0-9]+.*cov: ' "$log" | tail -1 || true)
    word() { sed -n "s/.*$1: *\([0-9]*\).*/\1/p" <<<"$last"; }
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    executions=${executions:-$(sed -n 's/^#\([0-9]*\).*/\1/p' <<<"$last")}
    result=ok
    if [ "$rc" -ne 0 ]; then
        result="CRASHED (exit $rc): $log"
        crashed=1
        for file in "$found/crashes/$target-"*; do
            [ -f "$file" ] || continue
            kept=$corpora/$target/$(basename "$file" | sed "s/^$target-//")
            mv "$file" "$kept"
            result="$result; kept $kept"
        done
    fi
    # A fuzzer that saw no code was not instrumented, and one that ran nothing was no fuzzer.
    if [ "$rc" -eq 0 ] && { [ "${executions:-0}" -lt 10 ] || [ "$(word cov)" = "" ]; }; then
        result="NOT RUN: $log"
        crashed=1
    fi
    printf '%-8s %12s %9s %9s %9s %9s  %s\n' "$target" "${executions:-0}" $((${executions:-0} / (seconds > 0 ? seconds : 1))) \
        "$(word cov)" "$(word ft)" "$(find "$found/$target" -mindepth 1 | wc -l)" "$result"
    if [ "${FUZZ_KEEP:-}" = 1 ] && [ "$rc" -eq 0 ]; then
        FUZZ_TARGET=$target "$found/cloudai-fuzz" -merge=1 -max_len=1024 "$corpora/$target" "$found/$target" >>"$log" 2>&1 ||
            say "$target: the new inputs could not be merged; see $log"
    fi
done
exit $crashed
