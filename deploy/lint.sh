#!/usr/bin/env bash
# Formatting, lints and the project's own rules. A tool that this toolchain lacks is named, not silently left out.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

if cargo fmt --version >/dev/null 2>&1; then
    cargo fmt --all --check >/dev/null || die "the code is not formatted" "cargo fmt --check found differences" "cargo fmt --all"
else
    say "NOT RUN: formatting (no rustfmt; rustup component add rustfmt)"
fi
cargo xtask tidy
if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
else
    say "NOT RUN: clippy (rustup component add clippy)"
fi
if have shellcheck; then
    shellcheck -x deploy/*.sh sample-tasks/*.sh
else
    say "NOT RUN: shellcheck (apt-get install shellcheck)"
fi
