#!/usr/bin/env bash
# The drills: real clusters in network namespaces under faults, with limits on time judged. Needs root. Called by make drills, which has
# set up, built, and made sure that a Docker engine answers.   deploy/drills.sh [DRILL…] [--rounds K] [--size full|short] [--seed N] …
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
driver=$CARGO_TARGET_DIR/debug/chaos-tests
released=$CARGO_TARGET_DIR/release/cloudai
[ -x "$driver" ] || die "there is no $driver" "the drills were not built" "make drills"
[ "$(id -u)" -eq 0 ] || die "the drills cannot run" "network namespaces, loop devices and mounts need root" "sudo make drills"

# Limits on time are promised of what is released, and judged by it. With debug assertions the same drills run, shorter, in make test.
if [ -z "${CLOUDAI_BIN:-}" ]; then
    # The selection that the benchmarks are built with: another one would compile most dependencies once more.
    cargo build --quiet --release --locked -p cloudai-cli -p cloudai-bench ||
        die "the build failed" "see the compiler's lines above" "repair that, and call make drills again"
    export CLOUDAI_BIN=$released
fi

# Drills by name, or all; everything else goes to the driver as it is.
which=()
while [ $# -gt 0 ] && [[ $1 != -* ]]; do
    which+=("$1")
    shift
done
[ ${#which[@]} -gt 0 ] || which=(all)
exec "$driver" run "${which[@]}" --report "$ROOT/target/drills" "$@"
