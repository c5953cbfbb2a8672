#!/bin/bash
# The jobs of a full guest, once systemd has nothing left to start.
# shellcheck source=disks.sh
. /opt/work/guest/disks.sh
mkdir -p /opt/results
systemctl is-system-running --wait
export JOB_GROUPS=/sys/fs/cgroup/system.slice/work.service HOME=/root
sh /opt/work/guest/run-jobs.sh /opt/work/jobs /opt/results "$(disk results)"
