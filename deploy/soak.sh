#!/usr/bin/env bash
# soak.sh [MINUTES] [FLAGS…]: a mixed load with faults on three masters and hollow workers; fails when memory, disk, open files, threads
# or runtime tasks grow. No container engine is needed. `cloudai-bench soak --help` lists the flags; -o json prints JSON.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

minutes=${1:-30}
[ $# -eq 0 ] || shift
case $minutes in
'' | *[!0-9]*) die "'$minutes' is no number of minutes" "the first argument says how long the load lasts" "deploy/soak.sh 30" ;;
esac
say "Building in release mode"
cargo build --release --locked --quiet -p cloudai-cli -p cloudai-bench
say "Soaking for $minutes minutes; a sample each 10 s"
exec "$CARGO_TARGET_DIR/release/cloudai-bench" soak --minutes "$minutes" "$@"
