#!/bin/bash
# A real Blender with a window, for what the bpy module cannot show. Debian or Ubuntu, as root.
#
#   tools/real_blender.sh make ROOT [SUITE]     a Debian of its own in the folder ROOT, with Blender, Xvfb and xdotool:
#                                               sid (default) has Blender 5.2, trixie 4.3; 1.3 GB, minutes
#   tools/real_blender.sh run ROOT COMMAND...   runs a command in it; this repository, .venv's Python and /tmp are
#                                               there under their own paths, and nothing stays mounted afterwards
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
action=${1:-}
root=$(realpath -m "${2:?usage: tools/real_blender.sh make|run ROOT ...}")

case "$action" in
make)
    suite=${3:-sid}
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C
    command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap; }
    sources=/etc/apt/sources.list.d/debian.sources
    mirror=$(sed -n 's/^URIs: //p' "$sources" 2>/dev/null | head -1)
    debootstrap --variant=minbase "$suite" "$root" "${mirror:-http://deb.debian.org/debian}"
    echo 'APT::Install-Recommends "false";' >"$root/etc/apt/apt.conf.d/99small"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # python3-cattr: without it Debian's Blender cannot register extensions
    "$0" run "$root" apt-get install -y -qq blender python3-numpy python3-requests python3-zstandard python3-cattr \
        xvfb xauth libgl1-mesa-dri xdotool imagemagick
    "$0" run "$root" apt-get clean
    "$0" run "$root" blender --background --version | head -1
    ;;
run)
    shift 2
    python=$("$repository/.venv/bin/python" -c 'import sys; print(sys.base_prefix)' 2>/dev/null || true)
    # A mount namespace of its own: whatever is mounted in it goes with it.
    exec unshare -m --propagation private bash -c '
        root=$1 repository=$2 python=$3; shift 3
        mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
        for folder in "$repository" "$python" /tmp; do
            case "$folder" in ""|/usr) continue;; esac
            mkdir -p "$root$folder"; mount --rbind "$folder" "$root$folder"
        done
        exec chroot "$root" env -u PYTHONPATH HOME=/root LIBGL_ALWAYS_SOFTWARE=1 DECA_PYTHON="$repository/.venv/bin/python" "$@"
    ' bash "$root" "$repository" "$python" "$@"
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
