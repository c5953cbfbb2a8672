#!/usr/busybox/busybox sh
# shellcheck shell=dash
# What an initial file system does on a real host: finds the root, puts the modules of this kernel into it, and the work
# that is to be done; then systemd takes over.
export PATH=/usr/busybox

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
if [ -d /lib/modules ]; then for module in virtio_pci virtio_blk virtio_rng ext4; do modprobe -q "$module"; done; fi
# shellcheck source=disks.sh
. /opt/guest/disks.sh
mount -t ext4 -o rw,noatime "$(disk root)" /mnt || exec sh

# A guest that a job wanted to start again has said so; any other one that comes back has died.
mkdir -p /mnt/opt/results
if [ -e /mnt/opt/booted ] && [ ! -e /mnt/opt/results/again ]; then
  echo 'this guest has died: it is not started again'
  umount /mnt
  poweroff -f
fi
touch /mnt/opt/booted
rm -f /mnt/opt/results/again

release=$(uname -r)
if [ -d "/lib/modules/$release" ]; then
  mkdir -p /mnt/usr/lib/modules
  cp -a "/lib/modules/$release" /mnt/usr/lib/modules/
fi
mkdir -p /mnt/opt/work
tar -xf "$(disk payload)" -C /mnt/opt/work
if grep -qw chaos.shell /proc/cmdline; then
  unit=shell
else
  unit=work
fi
cp "/mnt/opt/work/guest/$unit.service" /mnt/etc/systemd/system/work.service
mkdir -p /mnt/etc/systemd/system/multi-user.target.wants
ln -sf ../work.service /mnt/etc/systemd/system/multi-user.target.wants/work.service

mount --move /proc /mnt/proc
mount --move /dev /mnt/dev
mount --move /sys /mnt/sys
exec switch_root /mnt /sbin/init
