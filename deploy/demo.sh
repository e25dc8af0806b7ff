#!/usr/bin/env bash
# The demo: a cluster in ./.demo, real containers, its leader killed. Called by make demo, which has set up, built, and made sure
# that a Docker engine answers.   deploy/demo.sh [--input FILE] [--stop]
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
driver=$CARGO_TARGET_DIR/debug/chaos-tests
[ -x "$driver" ] || die "there is no $driver" "the demo was not built" "make demo"
exec "$driver" demo --data-dir "$ROOT/.demo" "$@"
