#!/usr/bin/env bash
# Builds the sample images from Debian packages: no registry is asked. Needs a Docker engine and apt-get, but not root.
#   sample-tasks/build.sh [--force]
# An image whose label names the same content is left alone; --force builds anew, with today's package versions.
#   cloudai/busybox          Debian's static busybox and nothing else
#   cloudai/data-processing  Debian's Python 3 and sample-tasks/data-processing
# shellcheck source-path=SCRIPTDIR source=../deploy/lib.sh
. "$(dirname "$0")/../deploy/lib.sh"

HERE=$ROOT/sample-tasks
LABEL=cloudai.sample.content
force=
case ${1:-} in
    '') ;;
    --force) force=1 ;;
    *) die "unknown argument '$1'" "only --force is known" "sample-tasks/build.sh [--force]" ;;
esac
engine_answers || die "no Docker engine answers" "images are built into it" \
    "start one, or call 'make images', which starts one"

work=$(mktemp -d "${TMPDIR:-/tmp}/cloudai-images.XXXXXX")
trap 'rm -rf "$work"' EXIT

# content FILE…: the digest of what an image is made of.
content() { sha256sum "$HERE/build.sh" "$@" | cut -d' ' -f1 | sha256sum | cut -c1-24; }
# is_built IMAGE CONTENT
is_built() {
    [ -z "$force" ] && [ "$(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$1" 2>/dev/null)" = "$2" ]
}

# unpack FOLDER PACKAGE…: the packages' files, without installing anything.
unpack() {
    local folder=$1
    shift
    have apt-get || die "this machine has no apt-get" "the images are made of Debian packages" \
        "build them on Debian 12, and move them with docker save and docker load"
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

# import IMAGE CONTENT FOLDER [CHANGE…]: one layer, owned by root whoever builds it.
import() {
    local image=$1 content=$2 folder=$3 changes=()
    shift 3
    for change in "$@"; do changes+=(--change "$change"); done
    tar -C "$folder" --owner=0 --group=0 --numeric-owner -c . |
        docker import --change "LABEL $LABEL=$content" --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' "${changes[@]}" - "$image" >/dev/null
    # The image that had this name before is nameless now; only ours carry the label.
    docker image prune --force --filter "label=$LABEL" >/dev/null
}

# prove IMAGE COMMAND…: an image that does not run is not left behind, or the next call would take it for a good one.
prove() {
    local image=$1
    shift
    docker run --rm --network none "$image" "$@" >"$work/prove.log" 2>&1 && return
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

build_data_processing() {
    local image=cloudai/data-processing:latest content program=$HERE/data-processing/data-processing
    content=$(content "$program")
    if is_built "$image" "$content"; then return; fi
    say "Building $image"
    local root=$work/python python
    # Debian 12: python3.11. Asked for, so that the next Debian needs no change here.
    python=$(apt-cache depends python3-minimal 2>/dev/null | sed -n 's/.*Depends: \(python3\.[0-9]*\)-minimal$/\1/p' | head -n 1)
    python=${python:-python3.11}
    unpack "$root" libc6 zlib1g libexpat1 libssl3 "$python-minimal" "lib$python-minimal" "lib$python-stdlib"
    rm -rf "$root"/usr/share/{doc,man,lintian,locale,binfmts,bug}
    mkdir -p "$root"/{tmp,etc,proc,sys,dev,usr/local/bin}
    chmod 1777 "$root/tmp"
    ln -s "$python" "$root/usr/bin/python3"
    # The program begins with '#!/usr/bin/env python3', and this image has no env.
    sed "1s|.*|#!/usr/bin/$python|" "$program" >"$root/usr/local/bin/data-processing"
    chmod 755 "$root/usr/local/bin/data-processing"
    import "$image" "$content" "$root" 'CMD ["data-processing"]' 'ENV PYTHONDONTWRITEBYTECODE=1'
    prove "$image" data-processing --help
}

build_busybox
build_data_processing
