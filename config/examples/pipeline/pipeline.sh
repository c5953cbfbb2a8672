#!/usr/bin/env bash
# A log pipeline on one machine: four hosts as network namespaces on a bridge, each in its own cgroup.
#
#   generator 10.77.0.4 ──TCP──▶ log-collector 10.77.0.1 ──LPUSH──▶ message-queue 10.77.0.2 ◀──BLMPOP── log-processor
#   pipeline-loggen              rsyslog                            redis-server             10.77.0.3: redis-cli,
#                                                                                            rsyslog → stored.log
#
# Everything is named chaosdemo…, nothing is in the host's own network namespace, `down` removes all of it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_root=$(cd "$here/../../.." && pwd)
bin=${CHAOS_BIN_DIR:-$source_root/build/bin}
data=${PIPELINE_DATA:-$source_root/build/demo}
run=/run/chaosdemo
hosts=(collector queue processor generator)
declare -A address=([collector]=10.77.0.1 [queue]=10.77.0.2 [processor]=10.77.0.3 [generator]=10.77.0.4)
# What the services may be short of.
controllers=(cpu memory)
# The processor's memory, in bytes: so that a share of it can be taken.
processor_memory=$((256 << 20))
queue_socket=$run/queue.sock
chaosd_socket=$run/chaosd/chaosd.sock

export PIPELINE_RUN=$run
export PIPELINE_STORED=$data/stored.log
export PIPELINE_COLLECTOR_LOG=$data/collector.log
export PIPELINE_PROCESSOR_LOG=$data/processor.log

usage() {
  cat <<'END'
usage: pipeline.sh COMMAND

  up                  make the hosts and start their services (what a dead demo has left is removed first)
  down                end everything named chaosdemo and remove it
  status              what runs, and how many lines wait in the queue
  generate RATE       send RATE numbered lines per second until ended (account in build/demo/sent.log)
  exec HOST CMD...    run a command on a host: collector, queue, processor or generator
  depth               lines that wait in the queue
  memory HOST         percent of its memory that a host uses, where it has a limit (the processor)
  retransmits         TCP segments that collector and queue have sent again so far
  report [ARGS]       pipeline-report on what was sent and stored
  chaosd              run a chaosd of its own for the pipeline, in the foreground (demo.sh does)
  stop-chaosd         end it and wait
  ctl ARGS...         chaosctl that talks to it
END
}

die() {
  printf 'pipeline.sh: %s\n' "$*" >&2
  exit 1
}

# The v2 tree: the whole of /sys/fs/cgroup, or the unified part of a hybrid host.
cgroup_root() {
  local mount
  mount=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
  [[ -n $mount ]] || die 'no cgroup v2 tree is mounted (looked for a cgroup2 mount)'
  printf '%s\n' "$mount"
}

# limited_by CONTROLLER: where the hosts' cgroups of a controller are that a service can be starved by: in the v2 tree,
# or in the controller's v1 hierarchy. Nothing if this host has none.
limited_by() {
  local root
  root=$(cgroup_root)
  if grep -qw "$1" "$root/cgroup.controllers"; then
    printf '%s/chaosdemo\n' "$root"
  elif [[ -e /sys/fs/cgroup/$1/cgroup.procs ]]; then
    printf '/sys/fs/cgroup/%s/chaosdemo\n' "$1"
  fi
}

# limiting_cgroups: those that are beside the v2 tree, one line each.
limiting_cgroups() {
  local controller root
  root=$(cgroup_root)
  for controller in "${controllers[@]}"; do limited_by "$controller"; done | grep -vxF "$root/chaosdemo" | sort -u
}

host_exists() { [[ -e /run/netns/chaosdemo-$1 ]]; }

# What is there already, in words; empty when nothing is.
remains() {
  local host cgroup found=()
  for host in switch "${hosts[@]}"; do
    if host_exists "$host"; then found+=("namespace chaosdemo-$host"); fi
  done
  [[ ! -e $(cgroup_root)/chaosdemo ]] || found+=("cgroup chaosdemo")
  for cgroup in $(limiting_cgroups); do
    [[ ! -e $cgroup ]] || found+=("cgroup $cgroup")
  done
  [[ ! -e $run ]] || found+=("$run")
  ((${#found[@]} == 0)) || printf '%s; ' "${found[@]}"
}

# Whether a process lives in what remains: in a cgroup of the v2 tree, or of the controller's v1 hierarchy.
inhabited() {
  local cgroup
  if grep -qs '^populated 1' "$(cgroup_root)/chaosdemo/cgroup.events"; then return 0; fi
  for cgroup in $(limiting_cgroups); do
    if grep -qrs --include=cgroup.procs . "$cgroup"; then return 0; fi
  done
  return 1
}

# From here on this shell is the only one that makes the pipeline or removes it. The lock is on a directory that is
# there anyway, so that it leaves nothing; what outlives this shell has to be started without it (9<&-).
alone() {
  exec 9</run
  flock -w 60 9 || die 'another pipeline.sh up or down has been at work for 60 s; wait for its end'
}

# A demo that was killed takes nothing down. Where no process lives any more this is done now; what lives is left alone.
clear_remains() {
  local present
  present=$(remains)
  [[ -n $present ]] || return 0
  if inhabited; then die "already here: ${present%; } (remove it with: $0 down)"; fi
  printf 'pipeline.sh: removing what a demo that was killed has left: %s\n' "${present%; }"
  tear_down || die "remove it with: $0 down"
}

# exec_on HOST CMD...: replaces this shell by CMD in the host's namespace and cgroup. nsenter rather than `ip netns
# exec`: the latter gives the command a mount namespace of its own.
exec_on() {
  local host=$1 cgroup
  shift
  host_exists "$host" || die "no such host: $host (is the pipeline up?)"
  echo "$BASHPID" >"$(cgroup_root)/chaosdemo/$host/cgroup.procs"
  for cgroup in $(limiting_cgroups); do echo "$BASHPID" >"$cgroup/$host/cgroup.procs"; done
  exec nsenter --net="/run/netns/chaosdemo-$host" -- "$@"
}

# supervise NAME HOST CMD...: what systemd does for a service on a real host. CMD is started again when it ends; this
# shell stays outside the host's cgroup, so that a fault on the host does not hit it.
supervise() {
  local name=$1 host=$2 status
  shift 2
  echo "$BASHPID" >"$(cgroup_root)/chaosdemo/supervisors/cgroup.procs"
  while true; do
    (exec_on "$host" "$@") &
    echo "$!" >"$run/$name.pid"
    status=0
    wait "$!" || status=$?
    printf '%s %s ended with status %s, starting it again\n' "$(date -u +%FT%TZ)" "$name" "$status"
    sleep 0.5
  done
}

start() {
  setsid "$0" supervise "$@" >>"$data/$1.out" 2>&1 </dev/null 9<&- &
}

# The consumer: takes lines off the list as they come, at most 256 a call, and hands them to rsyslog over TCP.
consume() {
  exec 3>/dev/tcp/127.0.0.1/5515
  exec redis-cli -h "${address[queue]}" --raw -r -1 BLMPOP 0 1 logs RIGHT COUNT 256 >&3
}

# enable_controllers CGROUP...: those of the v2 tree, where it has them, for what is below.
enable_controllers() {
  local cgroup controller
  for cgroup in "$@"; do
    for controller in "${controllers[@]}"; do
      if grep -qw "$controller" "$cgroup/cgroup.controllers"; then
        echo "+$controller" >"$cgroup/cgroup.subtree_control"
      fi
    done
  done
}

make_switch() {
  ip netns add chaosdemo-switch
  ip -n chaosdemo-switch link add chaosdemo0 type bridge forward_delay 0
  ip -n chaosdemo-switch link set chaosdemo0 up
}

# limit_memory HOST BYTES, where this host can.
limit_memory() {
  local cgroup
  cgroup=$(limited_by memory)
  case $cgroup in
    '') ;;
    "$(cgroup_root)"/*) echo "$2" >"$cgroup/$1/memory.max" ;;
    *) echo "$2" >"$cgroup/$1/memory.limit_in_bytes" ;;
  esac
}

# One end of a veth pair is the host's eth0, the other a port of the switch with the host's name.
make_host() {
  local host=$1 cgroup
  ip netns add "chaosdemo-$host"
  ip -n chaosdemo-switch link add "$host" type veth peer name eth0 netns "chaosdemo-$host"
  ip -n chaosdemo-switch link set "$host" master chaosdemo0 up
  ip -n "chaosdemo-$host" link set lo up
  ip -n "chaosdemo-$host" addr add "${address[$host]}/24" dev eth0
  ip -n "chaosdemo-$host" link set eth0 up
  # One congestion control wherever the demo runs, since how TCP copes with loss depends on it. By the route: a
  # namespace may not choose every algorithm by sysctl.
  ip -n "chaosdemo-$host" route replace 10.77.0.0/24 dev eth0 src "${address[$host]}" congctl cubic
  mkdir -p "$(cgroup_root)/chaosdemo/$host"
  for cgroup in $(limiting_cgroups); do mkdir -p "$cgroup/$host"; done
}

on_queue() { redis-cli -s "$queue_socket" "$@"; }

listens() { nsenter --net="/run/netns/chaosdemo-$1" ss -Hltn "sport = :$2" | grep -q LISTEN; }

wait_until() {
  local what=$1 tries
  shift
  for ((tries = 0; tries < 100; tries++)); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  die "$what did not start within 10 s; see $data"
}

up() {
  local host tool
  for tool in ip ss nsenter rsyslogd redis-server redis-cli; do
    command -v "$tool" >/dev/null || die "$tool is missing (./setup.sh packages demo installs it)"
  done
  [[ -x $bin/pipeline-loggen ]] || die "$bin/pipeline-loggen is missing (./setup.sh build makes it)"
  alone
  clear_remains

  # Half a pipeline is none.
  trap tear_down EXIT
  mkdir -p "$data"
  rm -f "$data"/*.log "$data"/*.out
  mkdir -m 700 "$run"
  mkdir "$(cgroup_root)/chaosdemo"
  enable_controllers "$(cgroup_root)" "$(cgroup_root)/chaosdemo"
  mkdir "$(cgroup_root)/chaosdemo/supervisors"
  make_switch
  for host in "${hosts[@]}"; do make_host "$host"; done
  limit_memory processor "$processor_memory"

  # AppArmor profiles go by path; a copy keeps a host's own profile for rsyslogd from applying to these two.
  install -m 755 "$(command -v rsyslogd)" "$run/rsyslogd"
  start queue queue redis-server "$here/queue.conf" --unixsocket "$queue_socket" --dir "$run"
  wait_until 'the queue' on_queue ping
  start processor processor "$run/rsyslogd" -n -f "$here/processor.conf" -i "$run/processor-rsyslogd.pid"
  wait_until 'the processor' listens processor 5515
  start consumer processor "$0" consume
  start collector collector "$run/rsyslogd" -n -f "$here/collector.conf" -i "$run/collector-rsyslogd.pid"
  wait_until 'the collector' listens collector 5514
  trap - EXIT
}

# empties CGROUP TRIES: waits in steps of 50 ms until no process is left in it. (In a trap, a return without a number
# returns what was there before the trap.)
empties() {
  local tries
  for ((tries = 0; tries < $2; tries++)); do
    if grep -q '^populated 0' "$1/cgroup.events"; then return 0; fi
    sleep 0.05
  done
  return 1
}

down() {
  alone
  tear_down
}

tear_down() {
  local cgroup host status=0
  cgroup=$(cgroup_root)/chaosdemo
  if [[ -e $cgroup ]]; then
    stop_chaosd || echo 'pipeline.sh: chaosd did not end by itself and is killed' >&2
    # Ends every process in the tree at once, those that fork meanwhile too.
    echo 1 >"$cgroup/cgroup.kill"
    empties "$cgroup" 100 || status=1
    # The kernel removes a cgroup only after its children.
    find "$cgroup" -depth -type d -exec rmdir {} + || status=1
  fi
  for cgroup in $(limiting_cgroups); do
    if [[ -e $cgroup ]]; then find "$cgroup" -depth -type d -exec rmdir {} + || status=1; fi
  done
  for host in "${hosts[@]}" switch; do
    if host_exists "$host"; then ip netns del "chaosdemo-$host" || status=1; fi
  done
  rm -rf "$run" || status=1
  ((status == 0)) || echo "pipeline.sh: not all of it could be removed: $(remains)" >&2
  return "$status"
}

# Becomes a chaosd of the pipeline's own, in the host's network namespace and a cgroup of its own.
run_chaosd() {
  local cgroup
  [[ -x $bin/chaosd ]] || die "$bin/chaosd is missing (./setup.sh build makes it)"
  cgroup=$(cgroup_root)/chaosdemo/chaosd
  mkdir -p "$cgroup" "$data/state"
  echo "$BASHPID" >"$cgroup/cgroup.procs"
  exec "$bin/chaosd" --config "$here/chaosd.yaml" --socket "$chaosd_socket" --runtime-dir "$run/chaosd" \
    --state-dir "$data/state" --instance demo
}

stop_chaosd() {
  local cgroup pid
  cgroup=$(cgroup_root)/chaosdemo/chaosd
  [[ -e $cgroup ]] || return 0
  while read -r pid; do kill -TERM "$pid" 2>/dev/null || true; done <"$cgroup/cgroup.procs"
  empties "$cgroup" 100
}

retransmits() {
  local host
  for host in collector queue; do
    nsenter --net="/run/netns/chaosdemo-$host" nstat -asz TcpRetransSegs
  done | awk '/^TcpRetransSegs/ { sum += $2 } END { print sum + 0 }'
}

# Both accounts start anew, so that the numbers can start at 0 (rsyslog appends, which a truncated file allows).
generate() {
  : >"$data/sent.log"
  : >"$data/stored.log"
  exec_on generator "$bin/pipeline-loggen" --rate "${1:-1000}" --sent "$data/sent.log"
}

memory() {
  local cgroup
  cgroup=$(limited_by memory)/$1
  if [[ -e $cgroup/memory.max ]]; then
    echo $(($(<"$cgroup/memory.current") * 100 / $(<"$cgroup/memory.max")))
  else
    echo $(($(<"$cgroup/memory.usage_in_bytes") * 100 / $(<"$cgroup/memory.limit_in_bytes")))
  fi
}

depth() { on_queue llen logs; }

status() {
  local name pid
  if [[ -z $(remains) ]]; then
    echo 'the pipeline is down'
    return
  fi
  for name in collector queue processor consumer; do
    pid=$(cat "$run/$name.pid" 2>/dev/null || true)
    if [[ -n $pid && -e /proc/$pid ]]; then
      printf '%-10s pid %s\n' "$name" "$pid"
    else
      printf '%-10s down\n' "$name"
    fi
  done
  printf '%-10s %s lines wait\n' queue "$(depth)"
}

main() {
  local command=${1:-help}
  shift || true
  case $command in
    help | -h | --help)
      usage
      return
      ;;
  esac
  [[ $(id -u) == 0 ]] || die 'needs root: it makes network namespaces and cgroups'
  case $command in
    up | down | status | depth | retransmits) "$command" ;;
    exec) exec_on "$@" ;;
    memory) memory "${1:?which host}" ;;
    generate) generate "$@" ;;
    report) "$bin/pipeline-report" --sent "$data/sent.log" --stored "$data/stored.log" "$@" ;;
    chaosd) run_chaosd ;;
    stop-chaosd) stop_chaosd ;;
    ctl) exec "$bin/chaosctl" --socket "$chaosd_socket" "$@" ;;
    supervise) supervise "$@" ;;
    consume) consume ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
}

main "$@"
