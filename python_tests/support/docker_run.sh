#!/bin/bash
# Does what a Dockerfile's RUN and COPY lines say, in one copy-on-write view of this machine's root, then runs a command
# there as its user.
#
# Usage: unshare --mount --pid --fork --net --mount-proc docker_run.sh BASE PYTHON WHEELS CONTEXT USER COMMAND...
#
# BASE: a folder for the copy's changes. PYTHON: the prefix of the CPython that the base image would have. CONTEXT: the
# example's folder, and in it "steps", the lines to run. Nothing that this does is seen outside.
set -eu
base=$1 python=$2 wheels=$3 context=$4 user=$5
shift 5
mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" "$base/root"
root=$base/root
mkdir -p "$root/opt/python" "$root/wheels" "$root/context"
mount --bind "$python" "$root/opt/python"
mount --bind "$wheels" "$root/wheels"
mount --bind "$context" "$root/context"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
ip link set lo up
inside="env -i PATH=/srv/web/.venv/bin:/opt/python/bin:/usr/sbin:/usr/bin:/sbin:/bin LD_LIBRARY_PATH=/opt/python/lib PIP_NO_INDEX=1"
# shellcheck disable=SC2086 # a list of words
chroot "$root" $inside sh -eux /context/steps >&2
# shellcheck disable=SC2086
exec chroot --userspec="$user" "$root" $inside "$@"
