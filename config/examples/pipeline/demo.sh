#!/usr/bin/env bash
# The demo: a log pipeline under packet loss, latency and a partition, with a processor that crashes, a queue that hangs,
# a slow collector, and a processor short of CPU time and memory, measured from outside.
# Fails, saying where, when a phase did not do what it should. Run it by `./setup.sh demo`, which builds first.
# shellcheck disable=SC2016 # the $names in single quotes are jq's
set -euo pipefail
# Numbers with a point, whatever the language of the user.
export LC_NUMERIC=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_root=$(cd "$here/../../.." && pwd)
data=${PIPELINE_DATA:-$source_root/build/demo}
pipeline=$here/pipeline.sh
queue_address=10.77.0.2
rate=1000
baseline_s=10
loss_s=15
outage_s=5
latency_s=8
partition_s=5
hang_s=4
slow_s=6
starved_s=6
recovery_s=10
settle_s=4
# So many lines wait in the queue when somebody who watches its depth would be told.
notice_depth=300
# TCP doubles its waits while nothing passes, so it may notice the end of an outage late by as long as the outage was.
recover_within_s=10

keep=false
brought_up=false
generator=''
failures=()
names=()
declare -A start_ns end_ns retransmits counters noticed ids effects
# Phases that are about one moment: when it was.
declare -A moment_ns
# What this host cannot do, and why.
left_out=()
# Of the processor's memory, in percent: the most that was in use while it was made short.
most_memory=0

# shellcheck source=config/examples/pipeline/effects.sh
. "$here/effects.sh"
# shellcheck source=config/examples/pipeline/checks.sh
. "$here/checks.sh"

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

die() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

fail() { failures+=("$1: $2"); }

ctl() { "$pipeline" ctl "$@"; }

now_ns() { date +%s%N; }

to_ns() { date -d "$1" +%s%N; }

stop_generator() {
  if [[ -n $generator ]]; then
    kill "$generator" 2>/dev/null || true
    wait "$generator" 2>/dev/null || true
    generator=''
  fi
}

cleanup() {
  stop_generator
  end_watching
  if $brought_up; then "$pipeline" down || true; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

start_chaosd() {
  setsid "$pipeline" chaosd >>"$data/chaosd.out" 2>&1 </dev/null &
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    if ctl health >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  tail -n 20 "$data/chaosd.out" >&2
  die "chaosd did not answer within 10 s (its log: $data/chaosd.out)"
}

start_generator() {
  "$pipeline" generate "$rate" >"$data/generator.out" 2>&1 </dev/null &
  generator=$!
  # The first lines of a cold pipeline are not what is measured.
  sleep 2
}

begin_phase() {
  names+=("$1")
  retransmits[$1]=$("$pipeline" retransmits)
  counters[$1]='{}'
  noticed[$1]=null
  start_ns[$1]=$(now_ns)
}

finish_phase() {
  end_ns[$1]=${2:-$(now_ns)}
  retransmits[$1]=$(($("$pipeline" retransmits) - retransmits[$1]))
}

# quiet_phase NAME SECONDS: nothing is injected. Begins where the phase before ended.
quiet_phase() {
  local name=$1 seconds=$2 before=''
  if ((${#names[@]} > 0)); then before=${names[-1]}; fi
  say "$name: ${seconds} s"
  begin_phase "$name"
  if [[ -n $before ]]; then start_ns[$name]=${end_ns[$before]}; fi
  sleep "$seconds"
  finish_phase "$name"
  note_effect "$name"
}

# notice NAME STARTED: once, when the queue has filled up: how long that took.
notice() {
  if [[ ${noticed[$1]} == null ]] && (($("$pipeline" depth) >= notice_depth)); then
    noticed[$1]=$(jq -n "($(now_ns) - $(to_ns "$2")) / 1e9")
  fi
}

note_memory() {
  local now
  now=$("$pipeline" memory processor)
  ((now <= most_memory)) || most_memory=$now
}

# fault_phase NAME SECONDS WHERE ARGS...: a scenario (of ARGS) until it ends by itself.
fault_phase() {
  local name=$1 seconds=$2 where=$3 scenario id began=$SECONDS reported=0
  shift 3
  say "$name, $where: ${seconds} s"
  begin_phase "$name"
  scenario=$(ctl -o json start "$@" --duration "${seconds}s" --reason 'demo') || die "$name did not start"
  id=$(jq -r .id <<<"$scenario")
  while true; do
    [[ $name != memory ]] || note_memory
    notice "$name" "$(jq -r .started_at <<<"$scenario")"
    scenario=$(ctl -o json show "$id") || die "$name: chaosctl show failed"
    if jq -e '.state | IN("completed", "failed", "aborted")' <<<"$scenario" >/dev/null; then break; fi
    if (((SECONDS - began) / 5 != reported)); then
      reported=$(((SECONDS - began) / 5))
      say "  $(jq -r '"\(.counters.matched) matched, \(.counters.injected) hit"' <<<"$scenario")"
    fi
    sleep 0.2
  done
  finish_phase "$name" "$(to_ns "$(jq -r .ended_at <<<"$scenario")")"
  start_ns[$name]=$(to_ns "$(jq -r .started_at <<<"$scenario")")
  counters[$name]=$(jq -c .counters <<<"$scenario")
  ids[$name]=$id
  note_effect "$name"
  if [[ $(jq -r '.state + " " + .end_reason' <<<"$scenario") != 'completed expired' ]]; then
    fail "$name" "the scenario ended as $(jq -r '.state + " (" + .end_reason + ") " + (.error // "")' <<<"$scenario")"
  fi
}

# loss_phase NAME PROBABILITY SECONDS: packet loss between collector and queue, both ways.
loss_phase() {
  fault_phase "$1" "$3" 'between collector and queue' packet_loss --target netns=chaosdemo-collector \
    --target "peer=$queue_address" -p "probability=$2"
}

# latency_phase NAME DELAY JITTER SECONDS: what the collector sends to the queue arrives later.
latency_phase() {
  fault_phase "$1" "$4" 'between collector and queue' latency_injection --target netns=chaosdemo-collector \
    --target "peer=$queue_address" --target direction=egress -p "delay=$2" -p "jitter=$3"
}

# partition_phase NAME SECONDS: the processor, one service of three, is cut off from the queue, another.
partition_phase() {
  fault_phase "$1" "$2" 'between processor and queue' network_partition --target service=log-processor \
    --target peer=service:message-queue
}

# crash_phase NAME: the processor's main process is killed, once. What was on its way then counts in this phase: it begins
# a second before.
crash_phase() {
  local name=$1 began
  began=$(now_ns)
  sleep 1
  fault_phase "$name" 3 'of the processor' component_failure --target service=log-processor -p failure_type=crash
  moment_ns[$name]=${start_ns[$name]}
  start_ns[$name]=$began
  end_ns[${names[-2]}]=$began
}

# hang_phase NAME SECONDS: the queue stands still.
hang_phase() {
  fault_phase "$1" "$2" 'of the queue' component_failure --target service=message-queue -p failure_type=hang
}

# slow_phase NAME FROZEN SECONDS: the collector stands still for a part of the time, in slices.
slow_phase() {
  fault_phase "$1" "$3" 'of the collector' component_failure --target service=log-collector \
    -p failure_type=slow_response -p "frozen=$2" -p slice=50ms
}

# starved_phase NAME SECONDS PARAMETER...: the processor is short of something, where this host can do that.
starved_phase() {
  local name=$1 seconds=$2 parameter arguments=(resource_exhaustion --target service=log-processor) refusal
  shift 2
  for parameter in "$@"; do arguments+=(-p "$parameter"); done
  if refusal=$(ctl -o json plan "${arguments[@]}" 2>&1); then
    fault_phase "$name" "$seconds" 'of the processor' "${arguments[@]}"
    quiet_phase "after $name" "$settle_s"
  else
    left_out+=("$name: $(jq -r '.detail // .' <<<"$refusal" 2>/dev/null || printf '%s' "$refusal")")
  fi
}

# Waits until everything that was sent has been stored; what is missing then is lost.
drain() {
  local tries missing before=''
  say 'drain: waiting for the last line'
  stop_generator
  for ((tries = 0; tries < 20; tries++)); do
    # What the crash has lost does not come any more: done is when nothing comes.
    missing=$("$pipeline" report | jq .total.missing)
    if [[ $missing == 0 || ($missing == "$before" && $("$pipeline" depth) == 0) ]]; then return; fi
    before=$missing
    sleep 1
  done
}

make_report() {
  local name arguments=()
  for name in "${names[@]}"; do
    arguments+=(--phase "$name:${start_ns[$name]}:${end_ns[$name]}")
    if [[ -n ${moment_ns[$name]:-} ]]; then
      arguments+=(--phase "$name, the moment:$((moment_ns[$name] - 1000000)):${moment_ns[$name]}")
    fi
  done
  "$pipeline" report "${arguments[@]}" >"$data/report.json"
}

# of_phase NAME FIELD: one figure of the report.
of_phase() { jq -r --arg name "$1" ".phases[] | select(.name == \$name) | .$2" "$data/report.json"; }

print_table() {
  local name cell
  printf '\n%-14s %7s %7s %7s %6s %8s %9s %9s %8s %8s %8s %8s %10s\n' phase sent stored missing dupl. lines/s \
    'p50 ms' 'p99 ms' retrans. matched hit noticed recovered
  for name in "${names[@]}"; do
    IFS=$'\t' read -r -a cell < <(jq -r --arg name "$name" --argjson counters "${counters[$name]}" \
      --argjson noticed "${noticed[$name]}" '
      ((.phases[] | select(.name == "\($name), the moment") | .recovered_after_s) // null) as $since_the_moment |
      .phases[] | select(.name == $name) |
      [.sent, .stored, .missing, .duplicated, .throughput_per_s, .latency_p50_ms, .latency_p99_ms,
       ($counters.matched // "-"), ($counters.injected // "-"), ($noticed // "-"),
       (if $counters.matched then ($since_the_moment // .recovered_after_s // "-") else "-" end)] | @tsv' "$data/report.json")
    if [[ ${cell[9]} != - ]]; then printf -v 'cell[9]' '%.2f s' "${cell[9]}"; fi
    if [[ ${cell[10]} != - ]]; then printf -v 'cell[10]' '%.2f s' "${cell[10]}"; fi
    printf '%-14s %7d %7d %7d %6d %8.0f %9.1f %9.1f %8d %8s %8s %8s %10s\n' "$name" "${cell[@]:0:7}" \
      "${retransmits[$name]}" "${cell[@]:7}"
  done
  printf '\n%s\n' 'A line counts in the phase in which it was sent; lines/s is what was stored during the phase.
retrans.: TCP segments sent again by collector and queue. matched, hit: packets that the fault saw, and of them those that it dropped or held; of the later ones, times that it acted.
missing, in crash: what the processor had taken off the queue and not stored yet.
noticed: from the start of the fault until '"$notice_depth"' lines waited in the queue.
recovered: from the end of the fault (from the crash itself) to the first line that was on time again (TCP waits longer each time it fails).'
}

check_residue() {
  local residue when=$1
  shift
  if ! residue=$(ctl -o json residue "$@" 2>>"$data/chaosd.out"); then
    fail residue "$when: ${residue:-chaosctl residue failed}"
  fi
}

# The daemon's end is part of the demo: it ends by itself when asked, and a look without it finds nothing.
stop_chaosd() {
  "$pipeline" stop-chaosd || fail chaosd 'did not end within 5 s of SIGTERM'
  check_residue 'after the end of chaosd' --instance demo --runtime-dir /run/chaosdemo/chaosd
}

verdict() {
  local failure reason
  for reason in "${left_out[@]}"; do printf '\nleft out: %s\n' "$reason"; done
  if ((${#failures[@]} > 0)); then
    printf '\nFAILED (data: %s)\n' "$data"
    for failure in "${failures[@]}"; do printf '  %s\n' "$failure"; done
    return 1
  fi
  printf '\nresidue: none. Every line is accounted for (%s lost by the crash), every phase did what it should.\n' \
    "$(jq .total.missing "$data/report.json")"
}

hints() {
  local command=${pipeline#"$PWD"/}
  cat <<END

The pipeline is up, with $rate lines/s flowing. To play:
  $command status
  $command ctl kinds
  $command ctl start packet_loss --target netns=chaosdemo-collector --target peer=$queue_address -p probability=30%
  $command ctl list
  $command ctl stop --all
  $command ctl emergency-stop        (and: $command ctl rearm)
  $command exec collector ss -ti
  $command down                      ends and removes everything
END
}

main() {
  case ${1:-} in
    '') ;;
    --keep) keep=true ;;
    *) die "takes only --keep, not $1" ;;
  esac
  say 'pipeline: starting collector, queue and processor'
  "$pipeline" up
  brought_up=true
  start_chaosd
  watch_drops
  start_generator

  quiet_phase baseline "$baseline_s"
  loss_phase '10 % loss' 10% "$loss_s"
  latency_phase latency 50ms 10ms "$latency_s"
  quiet_phase between 5
  loss_phase '100 % loss' 100% "$outage_s"
  quiet_phase recovery "$recovery_s"
  partition_phase partition "$partition_s"
  quiet_phase 'back together' "$recovery_s"
  crash_phase crash
  quiet_phase 'after crash' "$settle_s"
  hang_phase hang "$hang_s"
  quiet_phase 'after hang' "$settle_s"
  slow_phase slow 90% "$slow_s"
  quiet_phase 'after slow' "$settle_s"
  starved_phase cpu "$starved_s" resource=cpu mode=throttle level=98%
  starved_phase memory "$starved_s" resource=memory mode=pressure level=90%
  drain

  [[ -n $no_drops ]] || await_drops || fail drops 'chaosctl drops does not go on'
  make_report
  note_drops
  check_phases
  end_watching
  check_residue 'with chaosd running'
  if $keep; then
    "$pipeline" status >/dev/null
  else
    stop_chaosd
    "$pipeline" down
    brought_up=false
  fi
  print_table
  print_effects
  verdict || exit 1
  if $keep; then
    setsid "$pipeline" generate "$rate" >"$data/generator.out" 2>&1 </dev/null &
    brought_up=false
    hints
  fi
}

main "$@"
