#!/usr/bin/env bash
# The demo's column of natural drops counts: datagrams for which the socket of a collector that hangs has no room are as
# many there as nstat(8) says, and none in a phase without them.
# Usage: demo_drops_test.sh DIRECTORY_OF_BINARIES
# shellcheck disable=SC2034 # what effects.sh takes from the demo
set -euo pipefail
export LC_NUMERIC=C

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
pipeline=$source_root/config/examples/pipeline/pipeline.sh
export CHAOS_BIN_DIR=$1
PIPELINE_DATA=$(mktemp -d)
export PIPELINE_DATA
data=$PIPELINE_DATA
brought_up=false
names=()
declare -A start_ns end_ns ids effects

# shellcheck source=config/examples/pipeline/effects.sh
. "$source_root/config/examples/pipeline/effects.sh"

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}
ctl() { "$pipeline" ctl "$@"; }
cleanup() {
  end_watching
  if $brought_up; then "$pipeline" down || true; fi
  rm -rf "$data"
}
trap cleanup EXIT
if [[ $(id -u) != 0 ]]; then
  echo 'needs root'
  exit 77
fi

# within SECONDS CMD...: it succeeds by then.
within() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "not in time: $*"
    sleep 0.1
  done
}
of_collector() {
  nsenter --net=/run/netns/chaosdemo-collector nstat -asz "$1" | awk -v name="$1" '$1 == name { print $2 }'
}
stands_still() {
  local before
  before=$(of_collector UdpRcvbufErrors)
  sleep 0.2 # what it has to stand still for
  [[ $(of_collector UdpRcvbufErrors) == "$before" ]]
}
# phase NAME CMD...
phase() {
  local name=$1
  shift
  names+=("$name")
  start_ns[$name]=$(date +%s%N)
  "$@"
  # The last report in a phase is what counts.
  await_drops || fail 'chaosctl drops does not go on'
  end_ns[$name]=$(date +%s%N)
  note_effect "$name"
}
flood() {
  # shellcheck disable=SC2016 # for the shell that is started
  "$pipeline" exec generator bash -c 'exec 3>/dev/udp/10.77.0.1/5514
    line=$(printf "%01000d" 0)
    for ((i = 0; i < 1000; i++)); do printf "%s" "$line" >&3; done'
  within 10 stands_still
}
# natural NAME: the column, without what is nobody's.
natural() { print_effects | awk -v name="$1" '$1 == name { print $3 }'; }
nobodys() { print_effects | sed -nE "s/^$1 .*\(\+([0-9]+)\).*/\1/p"; }

"$pipeline" up
brought_up=true
setsid "$pipeline" chaosd >"$data/chaosd.out" 2>&1 </dev/null &
within 10 ctl health
watch_drops
[[ -z $no_drops ]] || fail "no natural drops: $no_drops"

phase quiet sleep 1
scenario=$(ctl -o json start component_failure --target service=log-collector -p failure_type=hang --duration 60s \
  --reason test) || fail 'the collector does not hang'
before=$(of_collector UdpRcvbufErrors)
phase flood flood
lost=$(($(of_collector UdpRcvbufErrors) - before))
ctl stop "$(jq -r .id <<<"$scenario")" >/dev/null
note_drops
print_effects

((lost > 100)) || fail "only $lost datagrams had no room"
[[ $(natural quiet) == 0 ]] || fail 'natural drops without any'
if ctl -o json features | jq -e '.. | objects | select(.name? == "drop_receivers") | .available' >/dev/null; then
  [[ $(natural flood) == "$lost" ]] || fail "$(natural flood) in the column, $lost by nstat"
else
  # Before Linux 6.11 the kernel does not say whose an arriving packet was.
  (($(nobodys flood) >= lost)) || fail "$(nobodys flood) in the column, $lost by nstat"
fi
end_watching
"$pipeline" stop-chaosd
"$pipeline" down
brought_up=false
printf 'ok: %s natural drops\n' "$lost"
