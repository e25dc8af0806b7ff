# shellcheck shell=bash
# What every script here shares: where things are, and how they speak. Sourced, never run.

set -euo pipefail

# shellcheck disable=SC2034 # used by those who source this
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The only place outside the clone that is written to: binaries, the compiler's cache, the images' packages, the
# engine that we start ourselves.
CACHE=${CLOUDAI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cloudai}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
export CCACHE_DIR=${CCACHE_DIR:-$CACHE/ccache}
if [ -d /usr/lib/ccache ]; then
    # RocksDB is some 350 C++ files: compiled once, then served from this cache to every profile and clone.
    export PATH=/usr/lib/ccache:$PATH
    export CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-2G} CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-time_macros}
fi
mkdir -p "$CACHE"

# Talk goes to stderr; stdout is for data.
say() { printf '==> %s\n' "$*" >&2; }
# die WHAT WHY NEXT
die() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  why:  %s\n' "$2" >&2
    [ $# -lt 3 ] || printf '  next: %s\n' "$3" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
engine_answers() { have docker && timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
