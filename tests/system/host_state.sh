#!/usr/bin/env bash
# Prints what this machine looks like to ip, tc, bpftool, ps and find, in a form that can be compared:
#
#   host_state.sh >before; …; host_state.sh >after; diff before after
#
# Equal means that nothing was left behind. It knows nothing of chaosd's own records. Left out is what changes by
# itself: counters, lifetimes of addresses, neighbours, kernel threads, zombies, login sessions and systemd's units,
# the BPF programs that systemd keeps for its units, and processes that have nothing to do with this source tree.
# A process counts when it is in a network namespace of its own, in a cgroup or with arguments that name chaos or this
# source tree, is one of the programs that tests and demo start, or carries the mark CHAOS_HOST_STATE=… in its
# environment (.ci/run sets it, and children inherit it); the callers never count. Write to a file, not into a pipe:
# the reader at its other end would count.
set -euo pipefail

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export LC_ALL=C

# Ids of containers, sessions and the like are not comparable, their number is not our business.
collapse_ids() { sed -E 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}/ID/g' | sort -u; }

# network LABEL IP-OPTIONS...: links, addresses, routes, qdiscs and filters of one network namespace.
network() {
  local label=$1 device
  shift
  ip "$@" -d -o link show | sed -E 's/ state [A-Z]+//; s/<[^>]*>//; s/ [a-z_]+_timer +[0-9.]+//g; s/ +/ /g' |
    sed "s/^/$label link /"
  ip "$@" -o addr show | sed -E 's/ (valid|preferred)_lft [^ ]+//g; s/ +/ /g' | sed "s/^/$label addr /"
  ip "$@" -4 route show table all | sed -E 's/ +/ /g' | sed "s/^/$label route /"
  ip "$@" -6 route show table all | sed -E 's/ expires [0-9]+sec//; s/ +/ /g' | sed "s/^/$label route6 /"
  ip "$@" rule show | sed "s/^/$label rule /"
  ip "$@" -6 rule show | sed "s/^/$label rule6 /"
  tc "$@" qdisc show | sed -E 's/ refcnt [0-9]+//' | sed "s/^/$label qdisc /"
  while IFS= read -r device; do
    local parent
    for parent in '' ingress egress; do
      # shellcheck disable=SC2086 # no parent is no argument
      tc "$@" filter show dev "$device" $parent 2>/dev/null | sed "s/^/$label filter $device $parent /" || true
    done
  done < <(ip "$@" -o link show | sed -E 's/^[0-9]+: ([^:@]+)[:@].*/\1/')
}

networks() {
  local namespace state
  network host
  while IFS= read -r namespace; do
    # One that goes away meanwhile is somebody else's, and not there.
    state=$(network "netns:$namespace" -n "$namespace" 2>/dev/null) || true
    if [[ -e /run/netns/$namespace ]]; then printf 'namespace %s\n%s\n' "$namespace" "$state"; fi
  done < <(ip netns list | awk '{print $1}' | sort)
}

# bpftool loads an iterator of its own to find out who holds what.
bpf() {
  bpftool prog show | sed -nE 's/^([0-9]+: [a-z_0-9]+ +name [^ ]+|[0-9]+: [a-z_0-9]+).*/bpf prog \1/p'
  bpftool map show | sed -nE 's/^([0-9]+: [a-z_0-9]+ +name [^ ]+|[0-9]+: [a-z_0-9]+).*/bpf map \1/p'
  bpftool link show | sed -nE 's/^([0-9]+: [a-z_0-9]+ +prog [0-9]+|[0-9]+: .*)/bpf link \1/p'
}

own_bpf() { bpf | grep -vE ' name (sd_|dump_(bpf|task)_|pid_iter|bpf_iter|libbpf_)' || true; }

cgroups() {
  local mount
  while IFS= read -r mount; do
    find "$mount" -type d 2>/dev/null | grep -vE '\.(service|scope|slice|socket|mount|swap)(/|$)' || true
    find "$mount" -type d -path '*chaos*' 2>/dev/null || true
  done < <(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts | sort -u) | sed 's/^/cgroup /' | collapse_ids
}

run_files() {
  find /run -xdev \( -path /run/systemd -o -path /run/udev -o -path /run/user -o -path /run/credentials \
    -o -path /run/log -o -path /run/lock -o -path /run/utmp -o -path /run/cloud-init \) -prune \
    -o ! -path /run ! -path /run/netns -printf 'run %y %p\n' 2>/dev/null | collapse_ids
}

processes() {
  # `e` appends the environment to the arguments. Names may hold blanks, so they come from a list of their own.
  {
    ps ax -o pid=,comm= | sed 's/^/comm /'
    ps axeww -o pid=,ppid=,stat=,netns=,cgroup=,args=
  } | awk -v self=$$ -v root="$source_root/" -v mark="CHAOS_HOST_STATE=${CHAOS_HOST_STATE:-no mark}" '
    $1 == "comm" { name = $0; sub(/^comm +[0-9]+ /, "", name); comm[$2] = name; next }
    {
      parent[$1] = $2; state[$1] = $3; netns[$1] = $4; cgroup[$1] = $5
      text = $0
      sub(/^ *([^ ]+ +){5}/, "", text)
      args[$1] = text
      command[$1] = text
      sub(/ [A-Za-z_]+=.*/, "", command[$1])
    }
    function is_ours(pid,    p) {
      for (p = pid; p > 1; p = parent[p]) if (p == self) return 1
      for (p = self; p > 1; p = parent[p]) if (p == pid) return 1
      return 0
    }
    END {
      for (pid in parent) {
        if (!(pid in comm) || state[pid] ~ /^Z/ || pid == 2 || parent[pid] == 2 || is_ours(pid)) continue
        why = ""
        if (netns[pid] ~ /^[0-9]+$/ && netns[pid] != netns[self]) why = "namespace"
        else if (cgroup[pid] ~ /chaos/) why = "cgroup"
        else if (index(args[pid], mark)) why = "mark"
        else if (comm[pid] ~ /^(chaos|pipeline-|redis-|rsyslogd|iperf3|tcpdump|fio)/) why = "program"
        else if (index(command[pid], root)) why = "arguments"
        if (why != "") printf "process %s (%s)\n", comm[pid], why
      }
    }' | sort
}

networks
own_bpf
cgroups
run_files
processes
