#!/usr/bin/env bash
# Builds the sample images from Debian packages: no registry is asked. Needs a Docker engine and apt-get, but not root.
#   sample-tasks/build.sh [--force] [--registry HOST[:PORT]] [SAMPLE…]      without a SAMPLE: all of them
# An image whose label names the same content is left alone; --force builds anew, with today's package versions.
# --registry also tags each image as HOST:PORT/cloudai/SAMPLE and pushes it there, for workers on other machines.
#   cloudai/busybox     Debian's static busybox and nothing else ("short")
#   cloudai/python      Debian's Python 3: the layer that all others share
#   cloudai/SAMPLE      cloudai/python and the program sample-tasks/SAMPLE/SAMPLE
# shellcheck source-path=SCRIPTDIR source=../deploy/lib.sh
. "$(dirname "$0")/../deploy/lib.sh"

HERE=$ROOT/sample-tasks
LABEL=cloudai.sample.content
PYTHON_SAMPLES=(data-processing cpu-heavy memory-heavy io-heavy gpu-probe flaky long-runner)
USAGE='sample-tasks/build.sh [--force] [--registry HOST[:PORT]] [SAMPLE…]'

force=
registry=
chosen=()
while [ $# -gt 0 ]; do
    case $1 in
        --force) force=1 ;;
        --registry)
            registry=${2:-}
            [[ $registry =~ ^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?$ ]] ||
                die "--registry needs HOST or HOST:PORT, not '$registry'" "it becomes the first part of the images' names" "$USAGE"
            shift
            ;;
        busybox | short) chosen+=(busybox) ;;
        -*) die "unknown argument '$1'" "only --force and --registry are known" "$USAGE" ;;
        *)
            case " ${PYTHON_SAMPLES[*]} " in
                *" $1 "*) chosen+=("$1") ;;
                *) die "there is no sample '$1'" "there are: busybox ${PYTHON_SAMPLES[*]}" "$USAGE" ;;
            esac
            ;;
    esac
    shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=(busybox "${PYTHON_SAMPLES[@]}")
engine_answers || die "no Docker engine answers" "images are built into it" \
    "start one, or call 'make images', which starts one"

work=$(mktemp -d "${TMPDIR:-/tmp}/cloudai-images.XXXXXX")
container=
leave() {
    [ -z "$container" ] || docker rm -f "$container" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap leave EXIT

# content TEXT-OR-FILE…: the digest of what an image is made of.
content() {
    local of
    for of in "$HERE/build.sh" "$@"; do
        if [ -f "$of" ]; then sha256sum <"$of"; else sha256sum <<<"$of"; fi
    done | sha256sum | cut -c1-24
}
# What the engine has, by name: the tests of a cluster call this script often, and one question for all images is quick.
declare -A id_of=() content_of=()
# look IMAGE…
look() {
    local name id content
    while read -r name id content; do
        # The engine puts an empty line after each image.
        [ -n "$name" ] || continue
        id_of[$name]=$id
        content_of[$name]=$content
    done < <(docker image inspect --format \
        "{{range .RepoTags}}{{.}} {{\$.Id}} {{index \$.Config.Labels \"$LABEL\"}}{{\"\\n\"}}{{end}}" "$@" 2>/dev/null)
}
# is_built IMAGE CONTENT
is_built() { [ -z "$force" ] && [ "${content_of[$1]:-}" = "$2" ]; }

# unpack FOLDER PACKAGE…: the packages' files, without installing anything.
unpack() {
    local folder=$1
    shift
    have apt-get || die "this machine has no apt-get" "the images are made of Debian packages" \
        "build them on Debian 12, and move them with docker save and docker load, or with --registry"
    mkdir -p "$folder" "$work/debs"
    if ! (cd "$work/debs" && apt-get download -q "$@") >"$work/apt.log" 2>&1; then
        # A fresh machine has no package lists yet.
        { [ "$(id -u)" -eq 0 ] && apt-get update -q && cd "$work/debs" && apt-get download -q "$@"; } >"$work/apt.log" 2>&1 || {
            tail -n 5 "$work/apt.log" >&2
            die "the packages $* could not be downloaded" "apt-get failed, see above" "run 'apt-get update' as root, then this again"
        }
    fi
    for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$folder"; done
    rm -rf "$work/debs"
}

# pack FOLDER: as a tar stream, owned by root whoever builds it.
pack() { tar -C "$1" --owner=0 --group=0 --numeric-owner -c .; }

# The image that had a name before is nameless now; only ours carry the label.
prune() { docker image prune --force --filter "label=$LABEL" >/dev/null; }

# import IMAGE CONTENT FOLDER [CHANGE…]: an image of one layer.
import() {
    local image=$1 content=$2 folder=$3 change changes=()
    shift 3
    for change in "$@"; do changes+=(--change "$change"); done
    pack "$folder" |
        docker import --change "LABEL $LABEL=$content" --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' \
            "${changes[@]}" - "$image" >/dev/null
}

# add IMAGE CONTENT BASE FOLDER COMMAND: the base's layers and one more. By a container that never runs, because not every
# engine has a builder.
add() {
    local image=$1 content=$2 base=$3 folder=$4 command=$5
    container=$(docker create --network none "$base" "$command")
    pack "$folder" | docker cp - "$container:/"
    docker commit --change "LABEL $LABEL=$content" --change "CMD [\"$command\"]" "$container" "$image" >/dev/null
    docker rm "$container" >/dev/null
    container=
}

# prove IMAGE COMMAND…: an image that does not run is not left behind, or the next call would take it for a good one.
prove() {
    local image=$1
    shift
    if docker run --rm --network none "$image" "$@" >"$work/prove.log" 2>&1; then
        prune
        return
    fi
    tail -n 5 "$work/prove.log" >&2
    docker image rm -f "$image" >/dev/null 2>&1 || true
    die "$image was built, but does not run" "see the lines above" "sample-tasks/build.sh --force"
}

build_busybox() {
    local image=cloudai/busybox:latest content
    content=$(content)
    if is_built "$image" "$content"; then return; fi
    say "Building $image"
    local root=$work/busybox
    unpack "$work/busybox-deb" busybox-static
    mkdir -p "$root"/{bin,tmp,etc,proc,sys,dev}
    chmod 1777 "$root/tmp"
    cp "$work/busybox-deb/bin/busybox" "$root/bin/busybox"
    for applet in $("$root/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
    import "$image" "$content" "$root" 'CMD ["sh"]'
    prove "$image" sh -c 'echo works'
}

PYTHON=cloudai/python:latest
python_is_asked_for=
build_python() {
    # Once per call, also under --force.
    [ -z "$python_is_asked_for" ] || return 0
    python_is_asked_for=1
    local content
    content=$(content)
    if is_built "$PYTHON" "$content"; then return; fi
    say "Building $PYTHON"
    local root=$work/python python
    # Debian 12: python3.11. Asked for, so that the next Debian needs no change here.
    python=$(apt-cache depends python3-minimal 2>/dev/null | sed -n 's/.*Depends: \(python3\.[0-9]*\)-minimal$/\1/p' | head -n 1)
    python=${python:-python3.11}
    unpack "$root" libc6 zlib1g libexpat1 libssl3 "$python-minimal" "lib$python-minimal" "lib$python-stdlib"
    rm -rf "$root"/usr/share/{doc,man,lintian,locale,binfmts,bug}
    mkdir -p "$root"/{tmp,etc,proc,sys,dev,usr/local/bin}
    chmod 1777 "$root/tmp"
    ln -s "$python" "$root/usr/bin/python3"
    printf 'root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
    import "$PYTHON" "$content" "$root" 'CMD ["python3"]' 'ENV PYTHONDONTWRITEBYTECODE=1'
    prove "$PYTHON" python3 -c 'import argparse, hashlib, json, multiprocessing'
    look "$PYTHON"
}

build_sample() {
    local sample=$1 image=cloudai/$1:latest program=$HERE/$1/$1 content
    build_python
    # The base as it is, not as it should be: a base built anew makes new images of all that stand on it.
    content=$(content "$program" "${id_of[$PYTHON]}")
    if is_built "$image" "$content"; then return; fi
    say "Building $image"
    local root=$work/$sample
    mkdir -p "$root/usr/local/bin"
    # The program begins with '#!/usr/bin/env python3', and this image has no env.
    sed '1s|.*|#!/usr/bin/python3|' "$program" >"$root/usr/local/bin/$sample"
    # Also under another umask, every user of the container may run it.
    chmod -R u=rwX,go=rX "$root"
    chmod 755 "$root/usr/local/bin/$sample"
    add "$image" "$content" "$PYTHON" "$root" "$sample"
    prove "$image" "$sample" --help
}

push() {
    local name=$registry/cloudai/$1:latest
    docker tag "cloudai/$1:latest" "$name"
    say "Pushing $name"
    docker push --quiet "$name" >"$work/push.log" 2>&1 && return
    tail -n 5 "$work/push.log" >&2
    die "$name could not be pushed" "see the lines above" \
        "is the registry up, have you logged in (docker login $registry), does the engine trust it (insecure-registries)?"
}

look "$PYTHON" "${chosen[@]/#/cloudai/}"
for sample in "${chosen[@]}"; do
    if [ "$sample" = busybox ]; then build_busybox; else build_sample "$sample"; fi
done
if [ -n "$registry" ]; then
    for sample in "${chosen[@]}"; do push "$sample"; done
fi
