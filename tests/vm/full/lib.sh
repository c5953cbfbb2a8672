# shellcheck shell=bash
# What the stories share. A story is a script that ends at its first check that does not hold, saying which. It looks
# with tools that know nothing of chaosd: ip, tc, bpftool, ping, find, ps, systemctl.
set -euo pipefail

packages=/opt/work/packages
source=/opt/work/source
before=/tmp/before
after=/tmp/after

step() { printf '\n== [%s s] %s\n' "$(cut -d' ' -f1 /proc/uptime)" "$*"; }

fail() {
  printf 'FAILED: %s\n' "$*"
  systemctl status --no-pager --lines 30 chaosd.service || true
  exit 1
}

# check CMD...: it succeeds.
check() {
  local output
  output=$("$@" 2>&1) || fail "$* ended with $?: $output"
  printf 'ok: %s\n' "$*"
}

# refused TEXT CMD...: it fails, and says TEXT (an extended regular expression).
refused() {
  local text=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  ((status != 0)) || fail "$* was not refused: $output"
  grep -qE -- "$text" <<<"$output" || fail "$* was refused without '$text': $output"
  printf 'ok: refused with %d: %s\n' "$status" "$*"
}

# within SECONDS CMD...: it succeeds by then, in emulated time.
within() {
  local limit=$(($1 * ${CHAOS_TIME_SCALE:-1})) began=$SECONDS
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS - began < limit)) || fail "not within $limit s: $*"
    sleep 0.2
  done
  printf 'ok: %s (after %d s)\n' "$*" $((SECONDS - began))
}

as() {
  local user=$1
  shift
  runuser -u "$user" -- "$@"
}

# Two hosts that exist only here, and 100 % loss from one to the other.
make_hosts() {
  # A story that failed may have left its own.
  remove_hosts
  ip netns add left
  ip netns add right
  ip -n left link add eth0 type veth peer name eth0 netns right
  ip -n left addr add 10.99.0.1/24 dev eth0
  ip -n right addr add 10.99.0.2/24 dev eth0
  # An address that is still being checked brings its route later: that would look like something left behind.
  local host
  for host in left right; do ip netns exec "$host" sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.eth0.accept_dad=0; done
  ip -n left link set lo up
  ip -n left link set eth0 up
  ip -n right link set eth0 up
  within 5 hosts_talk
  trap remove_hosts EXIT
}
remove_hosts() {
  ip netns del left 2>/dev/null || true
  ip netns del right 2>/dev/null || true
}
hosts_talk() { ip netns exec left ping -q -c 2 -i 0.2 -W 2 10.99.0.2; }
hosts_do_not_talk() { ! hosts_talk; }
start_loss=(start packet_loss --target netns=left --target peer=10.99.0.2 -p probability=100% --duration 5m)

main_pid() { systemctl show --property MainPID --value chaosd.service; }
is_active() { [[ $(systemctl is-active "$1") == active ]]; }
has_new_pid() {
  local now
  # Asked once: it changes while one looks.
  now=$(main_pid)
  [[ $now != 0 && $now != "$1" ]] && is_active chaosd.service
}
answers() { chaosctl health; }

# What the machine looks like without any scenario, to compare with after one: links, qdiscs, filters, BPF programs,
# maps and links, cgroups, /run, processes. Numbers that the kernel gives to BPF objects are left out: the daemon loads
# its programs at every start.
# An address that is still being checked for duplicates is the same address a second later.
machine_state() {
  "$source/tests/system/host_state.sh" |
    sed -E 's/^(bpf [a-z]+) [0-9]+:/\1/; s/ prog [0-9]+/ prog/; s/ tentative//' | sort
}
remember_state() { machine_state >"$before"; }
same_state() {
  machine_state >"$after"
  diff "$before" "$after"
}
# What was on its way out a moment ago gets some seconds.
no_residue() {
  local tries
  for ((tries = 0; tries < 20; tries++)); do
    if same_state >/dev/null; then
      printf 'ok: the machine is as it was before\n'
      check chaosctl residue
      return
    fi
    sleep 0.5
  done
  fail "left behind: $(same_state)"
}

# comes_back WHO: systemctl kills main or all of the unit under a fault. The fault is gone at once, and the daemon is back
# without it.
comes_back() {
  local who=$1 pid
  make_hosts
  check answers
  remember_state
  check as alice chaosctl "${start_loss[@]}"
  check hosts_do_not_talk

  step "$who of the unit is killed"
  pid=$(main_pid)
  check systemctl kill --signal KILL --kill-who "$who" chaosd.service
  check hosts_talk
  within 10 has_new_pid "$pid"
  within 10 answers
  [[ $(chaosctl -o json list | jq '.items // .scenarios // . | length') == 0 ]] || fail 'a scenario survived its daemon'
  check hosts_talk
  no_residue
}
