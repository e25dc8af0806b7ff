#!/usr/bin/env bash
# Every test. Called by make test, which has set up, built, and made sure that a Docker engine answers.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
began=$SECONDS

sample-tasks/build.sh
deploy/moto.sh
deploy/lint.sh
say "The sample tasks' programs, without an engine"
sample-tasks/test.sh
# Always the whole workspace: another selection has other features, and would compile most dependencies once more.
say "Unit and component tests, the protocol's model, kept inputs of the fuzzers"
cargo test --quiet --locked --workspace
say "Crashes, power cuts and errors at every step that writes"
cargo test --quiet --locked --workspace --features cloudai-store/failpoints --test failpoints
say "Fuzzers, 20 s each"
deploy/fuzz.sh 20
# Real processes on two cores disturb each other: one test at a time, each with a cluster of its own.
say "Real clusters under faults (chaos-tests)"
cargo test --locked --workspace --test must_show --test short_drills --test images -- --test-threads=1 --nocapture
say "All tests passed in $((SECONDS - began)) s"
