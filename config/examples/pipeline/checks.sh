# Part of demo.sh: what each phase should have done.
# shellcheck shell=bash disable=SC2016,SC2154 # names of jq; what demo.sh declares

# sees_drops NAME: the kernel says that as many packets were dropped by a fault as the scenario counts.
sees_drops() {
  [[ -n $no_drops ]] || sees "$1" ".dropped.injected == $(jq .injected <<<"${counters[$1]}")" \
    'the kernel dropped other packets than the scenario counted'
}

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
  sees_drops "$name"
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
  sees_drops "$name"
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
    holds $name '$report.recovered_after_s != null and $report.recovered_after_s <= $within' \
      "no recovery within $recover_within_s s"
  done
  if [[ -n ${start_ns[memory]:-} ]] && ((most_memory < 80)); then
    fail memory "the processor's cgroup had $most_memory % of its memory in use"
  fi
}
