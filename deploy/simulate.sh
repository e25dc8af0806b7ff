#!/usr/bin/env bash
# Seeds of the simulation: deploy/simulate.sh [SEEDS] [--from N] [--mutants]
# Exit code 1 when an invariant was broken, or a mutant was not noticed.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

seeds=1000
from=1
mutants=
while [ $# -gt 0 ]; do
    case $1 in
        --mutants) mutants=1 ;;
        --from) from=$2; shift ;;
        *[!0-9]*) die "'$1' is no number of seeds" "usage: deploy/simulate.sh [SEEDS] [--from N] [--mutants]" ;;
        *) seeds=$1 ;;
    esac
    shift
done

cd "$ROOT"
# The whole workspace's features, as in every other script: nothing is compiled twice.
say "building the simulation"
cargo build --locked --quiet --workspace --bin cloudai-sim
sim=$CARGO_TARGET_DIR/debug/cloudai-sim
if [ -n "$mutants" ]; then
    have patch || die "patch is missing" "a mutant is a patch" "apt-get install patch"
    say "mutants, each with up to $seeds seeds"
    exec "$sim" mutants --seeds "$seeds"
fi
say "$seeds seeds from $from"
exec "$sim" sweep --from "$from" --count "$seeds"
