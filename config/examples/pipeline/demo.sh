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

# shellcheck source=config/examples/pipeline/effects.sh
. "$here/effects.sh"

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

# fault_phase NAME SECONDS WHERE ARGS...: a scenario (of ARGS) until it ends by itself.
fault_phase() {
  local name=$1 seconds=$2 where=$3 scenario id began=$SECONDS reported=0
  shift 3
  say "$name, $where: ${seconds} s"
  begin_phase "$name"
  scenario=$(ctl -o json start "$@" --duration "${seconds}s" --reason 'demo') || die "$name did not start"
  id=$(jq -r .id <<<"$scenario")
  while true; do
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

# holds NAME EXPRESSION MESSAGE: a jq expression over the phase's figures ($report), its counters ($counters), its
# retransmits ($retransmits), after how many seconds the queue had filled up ($noticed).
holds() {
  local name=$1 expression=$2 message=$3
  jq -e -n --slurpfile all "$data/report.json" --arg name "$name" --argjson counters "${counters[$name]:-null}" \
    --argjson retransmits "${retransmits[$name]:-null}" --argjson noticed "${noticed[$name]:-null}" \
    --argjson rate "$rate" --argjson within "$recover_within_s" \
    "(\$all[0].phases[] | select(.name == \$name)) as \$report | $expression" \
    >/dev/null || fail "$name" "$message"
}

# Every counter of CONTRACT: the sums close.
sums='($counters.evaluated == $counters.unmatched + $counters.matched) and ($counters.matched == $counters.injected +
  $counters.not_sampled + $counters.spared_protected + $counters.spared_budget + $counters.spared_expired +
  $counters.over_limit)'

# sees NAME EXPRESSION MESSAGE: a jq expression over what chaosd saw of the phase.
sees() {
  jq -e "$2" <<<"${effects[$1]}" >/dev/null || fail "$1" "$3: chaosd saw ${effects[$1]}"
}

check_phases() {
  local name
  for name in "${names[@]}"; do
    holds "$name" '$report.sent >= 0.95 * $rate * $report.duration_s' 'the generator did not keep its rate'
    # What the processor had taken off the queue and not stored when it was killed is lost, by its design.
    [[ $name == crash ]] || holds "$name" '$report.missing == 0' "$(of_phase "$name" missing) lines never arrived"
  done
  name=baseline
  holds $name '$report.throughput_per_s > 0.9 * $rate' "only $(of_phase $name throughput_per_s) lines/s"
  holds $name '$report.latency_p50_ms < 100' "a latency of $(of_phase $name latency_p50_ms) ms with no fault at all"

  name='10 % loss'
  holds "$name" "$sums" 'the counters do not add up'
  holds "$name" '$counters.injected > 0' 'no packet was dropped'
  # 4 standard deviations of the binomial distribution.
  holds "$name" '($counters.injected + $counters.not_sampled) as $n | ($counters.injected - $n * 0.1) | fabs <=
    4 * ($n * 0.09 | sqrt)' "$(jq -r '"\(.injected) of \(.injected + .not_sampled) dropped: not 10 %"' \
    <<<"${counters[$name]}")"
  holds "$name" '$retransmits > 0' 'TCP retransmitted nothing'
  sees "$name" ".injected == $(jq .injected <<<"${counters[$name]}")" 'its series is not what the scenario counted'
  sees "$name" '.retransmitted > 0' 'the connections of the target sent nothing again'
  # The shortest time after which TCP sends again what nobody asked for is 200 ms.
  holds "$name" '$report.latency_p99_ms > 150' 'no line had to wait for TCP to send again'

  name=latency
  holds "$name" "$sums" 'the counters do not add up'
  holds "$name" '$counters.injected > 0 and $counters.over_limit == 0' 'packets were not held, or not all'
  # Each line waits at least for the shortest delay, and TCP is still as fast as it was.
  sees "$name" '.rtt_ms >= 40' 'the connections of the target became no slower'
  holds "$name" '$report.latency_p50_ms >= 40' "a latency of $(of_phase "$name" latency_p50_ms) ms with 50 ms injected"
  holds "$name" '$report.throughput_per_s > 0.8 * $rate' "only $(of_phase "$name" throughput_per_s) lines/s"

  name='100 % loss'
  holds "$name" "$sums" 'the counters do not add up'
  holds "$name" '$counters.injected > 0 and $counters.not_sampled == 0' 'packets got through'
  holds "$name" '$retransmits > 0' 'TCP retransmitted nothing'
  holds "$name" '$report.throughput_per_s < 0.1 * $rate' \
    "$(of_phase "$name" throughput_per_s) lines/s were stored all the same"
  holds "$name" '$report.recovered_after_s != null and $report.recovered_after_s <= $within' \
    "no recovery within $recover_within_s s"
  name=partition
  holds "$name" "$sums" 'the counters do not add up'
  holds "$name" '$counters.injected > 0 and $counters.not_sampled == 0' 'packets got through'
  holds "$name" '$report.throughput_per_s < 0.2 * $rate' \
    "$(of_phase "$name" throughput_per_s) lines/s were stored all the same"
  sees "$name" ".depth >= $notice_depth" 'the queue did not fill up'
  sees "$name" ".rate < 0.5 * $rate" 'the processor went on'
  holds "$name" '$noticed != null and $noticed < 3' "the queue did not fill up within 3 s"
  holds "$name" '$report.recovered_after_s != null and $report.recovered_after_s <= $within' \
    "no recovery within $recover_within_s s"
  check_component_phases
  if [[ $(jq -r '.total | "\(.unexpected) \(.garbled)"' "$data/report.json") != '0 0' ]]; then
    fail total "not every line is accounted for: $(jq -c .total "$data/report.json")"
  fi
  if [[ $("$pipeline" depth) != 0 ]]; then fail total "$("$pipeline" depth) lines still wait in the queue"; fi
}

check_component_phases() {
  local name=crash
  holds $name "$sums" 'the counters do not add up'
  holds $name '$counters.injected == 1' 'it was not struck once'
  holds $name '$report.missing < 3 * $rate' "$(of_phase $name missing) lines were lost"
  holds "$name, the moment" '$report.recovered_after_s != null and $report.recovered_after_s <= $within' \
    "no recovery within $recover_within_s s"

  name=hang
  holds $name "$sums" 'the counters do not add up'
  # What waits is through within the last moments of the phase: how long it waited tells.
  holds $name '$report.latency_p50_ms > 1000' "a latency of $(of_phase $name latency_p50_ms) ms all the same"
  holds $name '$report.recovered_after_s != null and $report.recovered_after_s <= $within' \
    "no recovery within $recover_within_s s"

  name=slow
  holds $name "$sums" 'the counters do not add up'
  holds $name '$counters.injected > 10' 'it hardly stood still'
  # Nine tenths of the lines come while it stands still, for 450 ms at a time.
  holds $name '$report.latency_p50_ms > 50' "a latency of $(of_phase $name latency_p50_ms) ms all the same"
  for name in cpu memory; do
    [[ -n ${start_ns[$name]:-} ]] || continue
    holds $name "$sums" 'the counters do not add up'
    holds $name '$counters.injected == 1' 'nothing was limited'
  done
}

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
  starved_phase memory "$starved_s" resource=memory mode=limit level=50%
  drain

  make_report
  check_phases
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
