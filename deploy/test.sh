#!/usr/bin/env bash
# Every test. Called by make test, which has set up, built, and made sure that a Docker engine answers.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
began=$SECONDS

sample-tasks/build.sh
deploy/lint.sh
say "Unit and component tests"
cargo test --quiet --locked --workspace --exclude chaos-tests
say "Crashes, power cuts and errors at every step that writes"
cargo test --quiet --locked --workspace --exclude chaos-tests --features cloudai-store/failpoints --test failpoints
# Real processes on two cores disturb each other: one test at a time, each with a cluster of its own.
say "Real clusters under faults (chaos-tests)"
cargo test --locked -p chaos-tests -- --test-threads=1 --nocapture
say "All tests passed in $((SECONDS - began)) s"
