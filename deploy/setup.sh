#!/usr/bin/env bash
# Installs what a build, the demo and the tests need and this machine lacks. Says what it does; changes nothing when
# everything is there. Needs root only when something is missing.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

have cargo || die "there is no 'cargo' in PATH" "CloudAI is built from source with a Rust toolchain (1.95 or newer)" \
    "install Rust (https://rustup.rs), open a new shell, and call make again"

# need COMMAND-THAT-PROVES-IT PACKAGE...
missing=()
need() {
    local proof=$1
    shift
    eval "$proof" >/dev/null 2>&1 || missing+=("$@")
}
libclang_is_there() {
    [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib*/libclang*.so*'
}
need 'have g++' g++                        # RocksDB is C++
need 'libclang_is_there' libclang-dev      # its Rust binding is generated with libclang ...
need 'have clang' clang                    # ... which asks clang for the system's header folders
need 'have ccache' ccache
need 'have docker && { have dockerd || engine_answers; }' docker.io
need 'have iptables' iptables              # dockerd makes its bridge with it
need 'have busybox' busybox-static          # the worker's tests make an image of it
need 'have docker-registry' docker-registry # the tests of pulls have a registry of their own ...
need 'have htpasswd' apache2-utils    # ... with a password
need 'have python3' python3                # the tests of the sample tasks
need 'have promtool' prometheus            # the tests of alerts play them with promtool
need 'have tmux' tmux                        # a drill's terminal that nobody sits at
need 'have nft' nftables                   # the drills' partitions and losses
need 'have patch' patch                      # the simulation's mutants
need 'have strace' strace                  # ... an fsync that is slow
need 'have fiu-ctrl' fiu-utils libfiu0     # ... an fsync that fails
need 'compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1"' libfaketime # ... a wall clock that is wrong

if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
command="apt-get install -y --no-install-recommends ${missing[*]}"
have apt-get || die "these packages are missing: ${missing[*]}" "this machine has no apt-get (CloudAI's scripts know Debian 12)" \
    "install their equivalents with this system's own package manager, and call make again"
[ "$(id -u)" -eq 0 ] || die "these packages are missing: ${missing[*]}" "installing them needs root" \
    "run: sudo apt-get update && sudo $command    and call make again"

say "Installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$CACHE/setup.log
# The package prometheus starts a server where systemd runs, now and at each boot. Tests start their own, so this one stays down: a policy of ours
# while the package is installed, and no start at boot. One that was installed before us is left as it is.
policy=/usr/sbin/policy-rc.d
if [[ " ${missing[*]} " == *" prometheus "* ]] && [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    # shellcheck disable=SC2016 # $1 is the policy's own
    printf '%s\n' '#!/bin/sh' '# Made by CloudAI for one installation; may be removed.' 'case $1 in prometheus*) exit 101 ;; esac' >"$policy"
    chmod 755 "$policy"
fi
# Without systemd (a container, a small VM) nothing must be started by the packages: engine.sh does that.
if ! { apt-get update -q && $command; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "the packages could not be installed" "apt-get failed; its whole output is in $log" "repair that, or run: $command"
fi
if [[ " ${missing[*]} " == *" prometheus "* ]] && have systemctl; then
    systemctl disable --quiet prometheus >>"$log" 2>&1 || say "the server 'prometheus' may start at boot; nothing here needs it: systemctl disable prometheus"
fi
