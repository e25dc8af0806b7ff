#!/usr/bin/env bash
# Builds the binary `cloudai` and the drivers of the demo and the tests, in the one profile that clippy, tests and demo
# share. Prints nothing when all of it is fresh.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# A compiler that finds the disk full says so in many ways, hardly ever in these words.
mkdir -p "$CARGO_TARGET_DIR"
free_gib=$(($(df --output=avail -k "$CARGO_TARGET_DIR" | tail -1) >> 20))
[ "$free_gib" -ge 12 ] ||
    say "Only $free_gib GiB are free for $CARGO_TARGET_DIR; a whole build and its tests want 12. What can go: rm -r $CARGO_TARGET_DIR/debug/incremental"
[ -x "$CARGO_TARGET_DIR/debug/cloudai" ] || say "Building CloudAI into $CARGO_TARGET_DIR (the first time takes a while: RocksDB)"
# Always the whole workspace: another selection has other features, and would compile most dependencies once more.
cargo build --quiet --locked --workspace --bin cloudai --bin chaos-tests --bin cloudai-sim ||
    die "the build failed" "see the compiler's lines above" "repair that, and call make again"
