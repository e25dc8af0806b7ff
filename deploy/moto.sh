#!/usr/bin/env bash
# Installs moto's S3 server from PyPI into the cache, for the tests of the results' store. Where that does not work it says so, and the test that
# needs it says NOT RUN: no other test depends on it.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

VERSION=5.2.5
AT=$CACHE/moto
[ -x "$AT/bin/moto_server" ] && [ "$(cat "$AT/version" 2>/dev/null)" = "$VERSION" ] && exit 0

say "Installing moto $VERSION from PyPI into $AT"
log=$CACHE/moto.log
rm -rf "$AT"
if ! { python3 -m venv "$AT" && timeout 300 "$AT/bin/pip" install --quiet --no-input "moto[server]==$VERSION"; } >"$log" 2>&1; then
    rm -rf "$AT"
    say "NOT RUN: the test on moto: it cannot be installed ($(tail -n 1 "$log"))"
    exit 0
fi
printf '%s\n' "$VERSION" >"$AT/version"
