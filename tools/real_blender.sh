#!/bin/bash
# A real Blender with a window, for what the bpy module cannot show. Debian or Ubuntu, as root.
#
#   tools/real_blender.sh check                 says why it cannot be had here, if so
#   tools/real_blender.sh make ROOT [SUITE]     a Debian of its own in the folder ROOT, with Blender, Xvfb and xdotool:
#                                               sid (default) has Blender 5.2, trixie 4.3; 1.3 GB, minutes
#   tools/real_blender.sh run ROOT COMMAND...   runs a command in it; this repository, .venv's Python and /tmp are
#                                               there under their own paths, and nothing stays mounted afterwards
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
tool=$repository/tools/real_blender.sh
usage="usage: tools/real_blender.sh check | make ROOT [SUITE] | run ROOT COMMAND..."

# Mirrors fail for a moment now and then.
twice() {
    "$@" || { echo "once more: $*" >&2; sleep 10; "$@"; }
}

get_debootstrap() {
    apt-get update -qq && apt-get install -y -qq debootstrap debian-archive-keyring
}

bootstrap() {
    rm -rf --one-file-system "$2" # what an earlier try has left
    mkdir -p "$2" && debootstrap --variant=minbase "$1" "$2" "$3"
}

install_packages() {
    # python3-cattr: without it Debian's Blender cannot register extensions
    "$tool" run "$1" apt-get update -qq &&
        "$tool" run "$1" apt-get install -y -qq blender python3-numpy python3-requests python3-zstandard \
            python3-cattr xvfb xauth libgl1-mesa-dri xdotool imagemagick
}

case "${1:-}" in
check)
    if [ "$(uname)" != Linux ]; then
        echo "it needs Linux"
    elif [ "$(id -u)" != 0 ]; then
        echo "it needs root, for a chroot and its mounts"
    elif ! unshare -m true 2>/dev/null; then
        echo "root may not mount anything here (a container without CAP_SYS_ADMIN?)"
    elif ! command -v debootstrap apt-get >/dev/null; then
        echo "it needs debootstrap"
    else
        exit 0
    fi
    exit 1
    ;;
make)
    root=$(realpath -m "${2:?$usage}")
    suite=${3:-sid}
    [ ! -e "$root" ] || { echo "$root exists already; delete it to make it anew" >&2 && exit 1; }
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    command -v debootstrap >/dev/null || twice get_debootstrap
    mirror=$(sed -n 's/^URIs: //p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -1)
    # Whole or not at all: a folder that bears the root's name is finished.
    unfinished=$root.tmp
    twice bootstrap "$suite" "$unfinished" "${mirror:-http://deb.debian.org/debian}"
    # A mirror may lag behind by more than a suite's lists are valid for; their signatures are still checked.
    printf '%s\n' 'APT::Install-Recommends "false";' 'Acquire::Check-Valid-Until "false";' \
        >"$unfinished/etc/apt/apt.conf.d/99small"
    cp /etc/resolv.conf "$unfinished/etc/resolv.conf"
    twice install_packages "$unfinished"
    "$tool" run "$unfinished" apt-get clean
    "$tool" run "$unfinished" blender --background --version | sed -n 1p
    mv -T "$unfinished" "$root"
    ;;
run)
    root=$(realpath -m "${2:?$usage}")
    shift 2
    venv=$(realpath -m "$repository/.venv")
    python=$("$venv/bin/python" -c 'import sys; print(sys.base_prefix)' 2>/dev/null || true)
    # A mount namespace of its own: whatever is mounted in it goes with it.
    exec unshare -m --propagation private bash -c '
        root=$1 venv=$2; shift 2
        mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
        for folder in "$1" "$2" "$3" /tmp; do
            case "$folder" in ""|/usr) continue;; esac
            mkdir -p "$root$folder"; mount --rbind "$folder" "$root$folder"
        done
        shift 3
        exec chroot "$root" env -u PYTHONPATH HOME=/root LIBGL_ALWAYS_SOFTWARE=1 DECA_PYTHON="$venv/bin/python" "$@"
    ' bash "$root" "$venv" "$repository" "$python" "$venv" "$@"
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
