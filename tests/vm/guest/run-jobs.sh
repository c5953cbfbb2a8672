#!/bin/sh
# Runs the jobs of a list, one after another, each in a cgroup of its own so that nothing of it is left, and publishes
# after each what is known so far.
#
#   run-jobs.sh LIST RESULTS-DIRECTORY DEVICE
#
# A line of LIST is NUMBER, LIMIT in seconds and the shell command, separated by tabs. Of job N come N.log (what it
# printed), N.rc (its status; 124: out of time), N.ms (how long it took), and N.json when it wrote JOB_JSON.
#
# A job that ends with 76 has the guest started again, without any goodbye, and runs once more with JOB_REBOOTED=1; where
# RESULTS-DIRECTORY is kept over it (a full guest), the list goes on from there.
list=$1
results=$2
device=$3
# shellcheck source=disks.sh
. "$(dirname "$0")/disks.sh"

now_ms() { awk '{ print int($1 * 1000) }' /proc/uptime; }

if [ ! -e "$results/started" ]; then
  uname -r >"$results/release"
  cut -d' ' -f1 /proc/uptime >"$results/started"
fi
publish "$results" "$device"
tab=$(printf '\t')
while IFS="$tab" read -r number limit command; do
  if [ -e "$results/$number.rc" ]; then continue; fi
  rebooted=0
  if [ -e "$results/$number.rebooted" ]; then rebooted=1; fi
  group=${JOB_GROUPS:-/sys/fs/cgroup}/job-$number
  mkdir "$group"
  began=$(now_ms)
  JOB_JSON=$results/$number.json JOB_REBOOTED=$rebooted timeout -k 1 "$limit" sh -c "echo 0 >$group/cgroup.procs; $command" \
    >>"$results/$number.log" 2>&1 </dev/null
  rc=$?
  # 137, 143: by timeout's signal, in the word of some shells and timeouts.
  took=$(($(now_ms) - began))
  if [ "$took" -ge $((limit * 1000)) ]; then rc=124; fi
  if [ "$rc" -eq 76 ] && [ "$rebooted" -eq 0 ]; then
    touch "$results/$number.rebooted" "$results/again"
    publish "$results" "$device"
    echo b >/proc/sysrq-trigger
  fi
  echo "$took" >"$results/$number.ms"
  echo "$rc" >"$results/$number.rc"
  echo 1 >"$group/cgroup.kill"
  tries=0
  while ! rmdir "$group" 2>/dev/null && [ "$tries" -lt 50 ]; do
    find "$group" -mindepth 1 -depth -type d -exec rmdir {} \; 2>/dev/null
    sleep 0.1
    tries=$((tries + 1))
  done
  echo "job $number: status $rc, $took ms"
  publish "$results" "$device"
done <"$list"
dmesg >"$results/dmesg" 2>/dev/null
if command -v journalctl >/dev/null; then journalctl -b --no-pager >"$results/journal"; fi
cut -d' ' -f1 /proc/uptime >"$results/done"
publish "$results" "$device"
