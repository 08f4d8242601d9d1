#!/bin/bash
# Boots a systemd of its own, as process 1 of namespaces of its own, on a copy-on-write view of a machine's root.
#
# Usage: unshare --mount --pid --fork --uts --ipc --net --cgroup --mount-proc boot_systemd.sh BASE PYTHON PACKAGES UNITS [ROOT]
#
# BASE: a folder for the copy's changes. PYTHON: the prefix of the CPython to serve with. PACKAGES: the folder that
# chaussette is installed in. UNITS: what becomes /etc/systemd/system. The application is UNITS/site. ROOT: this
# machine's, or a folder with another Debian. Whoever starts this
# is in a control group of its own by then, which is all that this systemd sees of them. Nothing that it does is seen
# outside of the namespaces; all units that would touch the kernel are masked.
set -eu
base=$1 python=$2 packages=$3 units=$4 below=${5:-/}
mount --make-rprivate /
mount -t tmpfs tmpfs "$base"
mkdir "$base/upper" "$base/work" "$base/root" "$base/empty"
mount -t overlay overlay -o "lowerdir=$below,upperdir=$base/upper,workdir=$base/work" "$base/root"
root=$base/root
mkdir -p "$root/opt/python" "$root/srv/web"
mount --bind "$python" "$root/opt/python"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
# Not this machine's own, on which a boot makes nodes and resets consoles.
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
ip link set lo up

LD_LIBRARY_PATH=$python/lib chroot "$root" /opt/python/bin/python3 -m venv --without-pip /srv/web/.venv
there=$(echo "$root"/srv/web/.venv/lib/python3*/site-packages)
cp -a "$packages"/chaussette "$packages"/chaussette-*.dist-info "$there/"
printf '#!/srv/web/.venv/bin/python3\nimport sys\nfrom chaussette.__main__ import main\nsys.exit(main())\n' \
    >"$root/srv/web/.venv/bin/chaussette"
chmod 0755 "$root/srv/web/.venv/bin/chaussette" "$root/srv" "$root/srv/web"
cp -r "$units/site/." "$root/srv/web/"
chmod -R go+rX "$root/srv/web"

rm -rf "$root"/etc/systemd/system
cp -r "$units" "$root/etc/systemd/system"
rm -rf "$root/etc/systemd/system/site"
: >"$root/etc/fstab"
for unit in systemd-sysctl systemd-modules-load systemd-binfmt systemd-remount-fs systemd-udevd systemd-udev-trigger \
    systemd-tmpfiles-setup-dev systemd-networkd systemd-resolved systemd-timesyncd systemd-logind systemd-random-seed systemd-pstore; do
    ln -s /dev/null "$root/etc/systemd/system/$unit.service"
done
for unit in dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    sys-kernel-config.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
    proc-sys-fs-binfmt_misc.mount systemd-udevd-kernel.socket systemd-udevd-control.socket \
    systemd-journald-audit.socket systemd-initctl.socket; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >"$root/etc/systemd/system/boot.target"
cd "$root"
exec env -i container=other "PATH=$PATH" chroot "$root" /lib/systemd/systemd --system --unit=boot.target
