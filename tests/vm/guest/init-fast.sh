#!/usr/busybox/busybox sh
# shellcheck shell=dash
# PID 1 of the fast guest: the file systems of a real host, then the jobs, then power off.
export PATH=/usr/sbin:/usr/bin:/usr/busybox HOME=/root

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
# A file system in memory already, and what was built may lie below it.
chmod 1777 /tmp
mount -t tmpfs -o mode=755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
for name in stdin:0 stdout:1 stderr:2; do ln -s "/proc/self/fd/${name#*:}" "/dev/${name%:*}"; done
ln -s /proc/self/fd /dev/fd
mkdir -p /run/sshd /opt/results
hostname chaos-vm
ip link set lo up
# tun: what udev and kmod would make a node for.
if [ -d /lib/modules ]; then for module in virtio_pci virtio_blk tun loop; do modprobe -q "$module"; done; fi

if grep -qw chaos.shell /proc/cmdline; then
  echo "shell in $(uname -r); the jobs are in /opt/jobs"
  setsid cttyhack sh
else
  # shellcheck source=disks.sh
  . /opt/guest/disks.sh
  which=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^chaos\.jobs=//p')
  sh /opt/guest/run-jobs.sh "/opt/jobs.$which" /opt/results "$(disk results)"
fi
poweroff -f
