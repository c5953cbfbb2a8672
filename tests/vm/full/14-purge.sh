#!/usr/bin/env bash
# Removed while a scenario is active, the package ends it; purged, it leaves nothing.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk

step 'remove: programs go, what belongs to the administrator stays'
check env DEBIAN_FRONTEND=noninteractive apt-get -q -y remove chaosd
check hosts_talk
check test -f /etc/chaosd/chaosd.yaml
if pgrep -x chaosd; then fail 'the daemon still runs'; fi
if [[ -e /usr/sbin/chaosd ]]; then fail 'the program is still there'; fi

step 'purge: nothing is left'
check dpkg --purge chaosd
remove_hosts
trap - EXIT
left=$(find / -xdev \( -path /proc -o -path /sys -o -path /opt/work -o -path /opt/results -o -path /tmp \
  -o -path /var/log/journal \) -prune -o -iname '*chaos*' ! -path '*/chaos-vm*' -print
  find /run /dev/shm -iname '*chaos*' -print)
[[ -z $left ]] || fail "files: $left"
left=$(find /sys/fs/cgroup -type d -iname '*chaos*')
[[ -z $left ]] || fail "cgroups: $left"
left=$(bpftool prog show | grep -vE 'cgroup_(device|skb|sysctl)' | grep -E '^[0-9]+:' || true)
[[ -z $left ]] || fail "programs: $left"
left=$(systemctl list-units --all --no-legend '*chaos*' | grep -v not-found || true)
[[ -z $left ]] || fail "units: $left"
left=$(getent group chaos chaos-view || true)
printf 'groups after purge (Debian keeps system groups): %s\n' "${left:-none}"
