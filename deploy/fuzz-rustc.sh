#!/bin/sh
# The compiler of the fuzzers' build: cargo calls it for the crates of this workspace only (RUSTC_WORKSPACE_WRAPPER). Libraries
# get the counters and comparisons that libFuzzer steers by; everything else, and every dependency, is compiled as always.
# All of these work on the stable toolchain.
rustc=$1
shift
case " $* " in
*" --test "*) ;;
*" --crate-type lib "*)
    set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$rustc" "$@"
