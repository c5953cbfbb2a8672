#!/usr/bin/env bash
# network_partition as the software that suffers it sees it: a cluster of three etcd members loses its leader and takes
# it back, a redis replica loses its master and finds it again, and clients that are rejected fail at once.
# usage: partition_services_test.sh CHAOSD CHAOSCTL
set -euo pipefail

chaosd=$1 chaosctl=$2
# How much slower this machine is than a real one.
scale=${CHAOS_TIME_SCALE:-1}
tag=chaostest-$$
work=$(mktemp -d /tmp/chaos-test-partition-XXXXXX)
cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
hosts=(one two three client)
declare -A address=([one]=10.79.0.1 [two]=10.79.0.2 [three]=10.79.0.3 [client]=10.79.0.9)

fail() {
  echo "FAILED: $*"
  for log in "$work"/*.log; do
    echo "== $log"
    tail -n 15 "$log"
  done
  exit 1
}

cleanup() {
  local host
  for host in "${hosts[@]}"; do
    if [[ -d $cgroups/$tag-$host ]]; then
      xargs -r kill -KILL <"$cgroups/$tag-$host/cgroup.procs" 2>/dev/null || true
    fi
  done
  if [[ -n ${chaosd_pid:-} ]]; then
    kill -TERM "$chaosd_pid" 2>/dev/null || true
    wait "$chaosd_pid" 2>/dev/null || true
  fi
  for host in "${hosts[@]}"; do
    ip netns delete "$tag-$host" 2>/dev/null || true
    within 5 rmdir "$cgroups/$tag-$host" 2>/dev/null || true
  done
  ip netns delete "$tag-bridge" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

# within SECONDS COMMAND...: until it succeeds.
within() {
  local until=$((SECONDS + $1 * scale))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}

make_hosts() {
  local host
  ip netns add "$tag-bridge"
  ip -n "$tag-bridge" link add bridge0 type bridge
  ip -n "$tag-bridge" link set bridge0 up
  for host in "${hosts[@]}"; do
    ip netns add "$tag-$host"
    ip -n "$tag-$host" link set lo up
    ip -n "$tag-$host" link add eth0 type veth peer name "$host" netns "$tag-bridge"
    ip -n "$tag-$host" address add "${address[$host]}/24" dev eth0
    ip -n "$tag-$host" link set eth0 up
    ip -n "$tag-bridge" link set "$host" master bridge0 up
    mkdir "$cgroups/$tag-$host"
  done
}

# on HOST COMMAND...: in its cgroup and namespace.
on() {
  local host=$1
  shift
  sh -c "echo \$\$ >'$cgroups/$tag-$host/cgroup.procs'; exec nsenter --net=/run/netns/$tag-$host \"\$@\"" sh "$@"
}

ctl() { "$chaosctl" --socket "$work/run/chaosd.sock" -o json "$@"; }

start_chaosd() {
  {
    echo 'chaos_testing: {max_concurrent_scenarios: 8, blast_radius_limit: 1}'
    echo 'services:'
    for host in one two three; do echo "  $host: {cgroup: /$tag-$host}"; done
  } >"$work/chaosd.yaml"
  "$chaosd" --config "$work/chaosd.yaml" --runtime-dir "$work/run" --state-dir "$work/state" \
    --instance "p$$" >"$work/chaosd.log" 2>&1 &
  chaosd_pid=$!
  within 10 ctl health || fail 'chaosd does not answer'
}

# partition ARGS...: starts one and prints its id.
partition() { ctl start network_partition --duration $((90 * scale))s "$@" | jq -er .id; }

# stop ID: and everything adds up.
stop() {
  ctl stop "$1" | jq -e '.counters as $c | $c.injected > 0 and $c.evaluated == $c.unmatched + $c.matched' >/dev/null ||
    fail "scenario $1 injected nothing, or its sums do not close: $(ctl show "$1" | jq -c .counters)"
}

# --- etcd

start_etcd() {
  local host cluster
  cluster=$(for host in one two three; do printf '%s=http://%s:2380,' "$host" "${address[$host]}"; done)
  for host in one two three; do
    ETCD_UNSUPPORTED_ARCH='' on "$host" etcd --name "$host" --data-dir "$work/etcd-$host" \
      --listen-peer-urls "http://${address[$host]}:2380" --initial-advertise-peer-urls "http://${address[$host]}:2380" \
      --listen-client-urls "http://${address[$host]}:2379" --advertise-client-urls "http://${address[$host]}:2379" \
      --initial-cluster "${cluster%,}" --heartbeat-interval $((100 * scale)) \
      --election-timeout $((1000 * scale)) \
      >"$work/etcd-$host.log" 2>&1 &
  done
}

# What a member says of the leader: its id in hex, 0 for none, nothing if it does not answer.
leader_of() {
  on client env ETCDCTL_API=3 etcdctl --endpoints "http://${address[$1]}:2379" --command-timeout "$((2 * scale))s" endpoint status \
    -w json 2>/dev/null | jq -r '.[0].Status.leader // 0'
}
id_of() {
  on client env ETCDCTL_API=3 etcdctl --endpoints "http://${address[$1]}:2379" --command-timeout "$((2 * scale))s" endpoint status \
    -w json | jq -r '.[0].Status.header.member_id'
}
all_agree() {
  local first
  first=$(leader_of one)
  [[ -n $first && $first != 0 && $(leader_of two) == "$first" && $(leader_of three) == "$first" ]]
}
find_leader() {
  local host
  for host in one two three; do
    if [[ $(leader_of "$host") == "$(id_of "$host")" ]]; then
      echo "$host"
      return
    fi
  done
  return 1
}
others_have_another_leader() {
  local host now
  for host in "${others[@]}"; do
    now=$(leader_of "$host")
    [[ -n $now && $now != 0 && $now != "$leader_id" ]] || return 1
  done
}

# cut_off WHAT ARGS...: the leader from both others; they choose another, and take it back when it is over.
cut_off() {
  local what=$1 id began peers=() host
  shift
  within 20 all_agree || fail "etcd: no leader before $what"
  leader=$(find_leader) || fail 'etcd: nobody leads'
  leader_id=$(id_of "$leader")
  others=()
  for host in one two three; do [[ $host == "$leader" ]] || others+=("$host"); done
  for host in "${others[@]}"; do peers+=(--target "peer=service:$host"); done
  began=$EPOCHREALTIME
  id=$(partition --target "service=$leader" "${peers[@]}" "$@")
  within 20 others_have_another_leader || fail "etcd, $what: the others keep their leader"
  printf 'etcd, %s: another leader after %.1f s' "$what" "$(bc <<<"$EPOCHREALTIME - $began")"
  began=$EPOCHREALTIME
  stop "$id"
  within 30 all_agree || fail "etcd, $what: the old leader is not taken back"
  printf ', in agreement %.1f s after its end\n' "$(bc <<<"$EPOCHREALTIME - $began")"
}

# --- clients

# request_time HOST: seconds that an HTTP request from `one` takes to fail; curl's exit status.
request() { on one curl -s -o /dev/null -w '%{time_total}' --max-time "$scale" "http://${address[$1]}:2379/version"; }

clients() {
  local id seconds status fastest _
  within 20 all_agree || fail 'etcd: no leader before the clients'
  request two >/dev/null || fail 'a client does not reach its server to begin with'

  id=$(partition --target service=one --target peer=service:two)
  status=0
  seconds=$(request two) || status=$?
  [[ $status == 28 ]] || fail "blackhole: curl ends with $status and not by its time-out"
  stop "$id"

  id=$(partition --target service=one --target peer=service:two --set mode=reject)
  # The fastest of five: one may have to wait for a CPU.
  fastest=
  for _ in 1 2 3 4 5; do
    status=0
    seconds=$(request two) || status=$?
    [[ $status == 7 ]] || fail "reject: curl ends with $status, not as refused"
    fastest=$(printf '%s\n' "$seconds" "${fastest:-$seconds}" | sort -g | head -n 1)
  done
  awk -v s="$fastest" -v scale="$scale" 'BEGIN { exit !(s < 0.005 * scale) }' || fail "reject: clients waited for $fastest s"
  echo "clients: rejected after $fastest s"
  within 5 request three || fail 'reject: a server that is not meant is not reached'
  stop "$id"
  within 5 request two || fail 'the client does not reach its server any more'
}

# --- redis

redis() { on client redis-cli -h "${address[$1]}" -p 6390 "${@:2}"; }
replica_sees_master() { [[ $(redis two info replication) == *master_link_status:up* ]]; }
replica_misses_master() { [[ $(redis two info replication) == *master_link_status:down* ]]; }
value_is() { [[ $(redis two get "$1") == "$2" ]]; }

replication() {
  local id mode
  on one redis-server --port 6390 --bind "${address[one]}" --protected-mode no --save '' --dir "$work" \
    --repl-timeout $((3 * scale)) --repl-ping-replica-period 1 >"$work/redis-one.log" 2>&1 &
  on two redis-server --port 6390 --bind "${address[two]}" --protected-mode no --save '' --dir "$work" \
    --replicaof "${address[one]}" 6390 --repl-timeout $((3 * scale)) --repl-diskless-sync yes --repl-diskless-load swapdb \
    --repl-diskless-sync-delay 0 >"$work/redis-two.log" 2>&1 &
  within 20 replica_sees_master || fail 'redis: the replica does not find its master to begin with'
  for mode in blackhole reject; do
    id=$(partition --target service=two --target peer=service:one --set "mode=$mode")
    within 20 replica_misses_master || fail "redis, $mode: the replica still sees its master"
    [[ $(redis one set "key-$mode" there) == OK ]] || fail 'redis: the master takes no write'
    value_is "key-$mode" '' || fail "redis, $mode: the write came through"
    stop "$id"
    within 30 replica_sees_master || fail "redis, $mode: the replica does not find its master again"
    within 10 value_is "key-$mode" there || fail "redis, $mode: the write is lost"
    echo "redis, $mode: the replica loses its master and catches up afterwards"
  done
}

make_hosts
start_chaosd
start_etcd
cut_off 'both ways'
cut_off 'one way' --target direction=egress
clients
replication
