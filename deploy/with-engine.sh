#!/usr/bin/env bash
# with-engine.sh COMMAND…: runs COMMAND while a Docker engine answers. Starts one when none does, and stops it afterwards;
# an engine that was there before stays as it was. Two of these at a time share the engine: the last one stops it.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

PID_FILE=$CACHE/dockerd.pid
LOG=$CACHE/dockerd.log
WAIT_S=60

# Our own engine's pid, if it still runs: the kernel's start time guards against a pid that was given away again.
ours() {
    local pid start
    [ -r "$PID_FILE" ] || return 1
    read -r pid start <"$PID_FILE" || return 1
    [ "$(started_at "$pid")" = "$start" ] && printf '%s\n' "$pid"
}
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

start() {
    have dockerd || die "no Docker engine answers, and there is no dockerd to start" \
        "tasks run as containers" "install one (apt-get install docker.io), or point DOCKER_HOST at an engine"
    [ "$(id -u)" -eq 0 ] || die "no Docker engine answers" "starting one needs root, and this user cannot reach one either" \
        "run 'sudo systemctl start docker' and join the docker group (sudo usermod -aG docker $USER), or run make as root"
    say "No Docker engine answers: starting one for the time of this command (log: $LOG)"
    # A data folder of our own: a system engine's images and settings stay untouched, and images are kept between calls.
    setsid dockerd --data-root "$CACHE/docker" --pidfile "$CACHE/dockerd.self.pid" >"$LOG" 2>&1 </dev/null 8>&- 9>&- &
    local pid=$!
    printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$PID_FILE"
    local waited=0
    until engine_answers; do
        if ! kill -0 "$pid" 2>/dev/null || [ "$waited" -ge "$WAIT_S" ]; then
            tail -n 10 "$LOG" >&2
            stop
            die "the Docker engine did not start" "its last lines are above; all of them are in $LOG" \
                "repair that, or start an engine yourself and call make again"
        fi
        sleep 1
        waited=$((waited + 1))
    done
}

stop() {
    local pid
    pid=$(ours) || return 0
    say "Stopping the Docker engine that was started here (pid $pid)"
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 150); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    if kill -0 "$pid" 2>/dev/null; then
        say "The engine ignores SIGTERM for 30 s: killing it"
        kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -f "$PID_FILE" "$CACHE/dockerd.self.pid"
}

# Everyone who uses the engine holds the lock shared; whoever can take it alone is the last one.
exec 9>"$CACHE/dockerd.lock"
exec 8>"$CACHE/dockerd.start.lock"
flock 8
flock -s 9
engine_answers || start
exec 8>&-

leave() {
    flock -u 9
    if flock -xn 9; then stop; fi
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$@" 9>&-
