# Part of demo.sh: what chaosd itself measured in each phase, by chaosctl metrics and chaosctl history.
# shellcheck shell=bash disable=SC2016,SC2154,SC2004 # names of jq; what demo.sh declares

# samples METRIC AGGREGATION LABEL...: all that chaosd has of a series since the demo began, as [[Unix ms, value]...].
samples() {
  local metric=$1 how=$2 label arguments=()
  shift 2
  for label in "$@"; do arguments+=(--label "$label"); done
  # A series that is not there, such as the connections of a target that has none, is no sample.
  ctl -o json history "$metric" --since "$((SECONDS + 5))s" --step 0 --aggregation "$how" "${arguments[@]}" \
    2>>"$data/chaosd.out" | jq -c '[.series[].points[]]' || printf '[]\n'
}

# note_effect NAME: what chaosd itself measured while the phase lasted, beside its cause.
note_effect() {
  local name=$1 id=${ids[$1]:-} injected='[]' rtt='[]' retransmitted='[]'
  if [[ -n $id ]]; then
    injected=$(ctl -o json metrics chaosd_fault_injected_total | jq -c --arg id "$id" \
      '[.metrics[] | select(.labels.id == $id) | .value]')
    rtt=$(samples chaosd_target_tcp_rtt_seconds last "id=$id" of=longest)
    retransmitted=$(samples chaosd_target_tcp_retransmitted_segments last "id=$id")
  fi
  effects[$name]=$(jq -n -c --argjson injected "$injected" --argjson rtt "$rtt" --argjson retransmitted "$retransmitted" \
    --argjson depth "$(samples chaosd_critical_metric last metric=message_queue_depth)" \
    --argjson stored "$(samples chaosd_critical_metric last metric=log_lines_stored)" \
    --argjson from "$((start_ns[$name] / 1000000))" --argjson to "$((end_ns[$name] / 1000000))" '
    def during: map(select(.[0] >= $from and .[0] <= $to and .[1] != null));
    ($stored | during) as $lines | {
      injected: $injected[0],
      rtt_ms: ($rtt | during | map(.[1]) | max | if . then . * 1000 else null end),
      retransmitted: ($retransmitted | during | if length > 1 then .[-1][1] - .[0][1] else null end),
      depth: ($depth | during | map(.[1]) | max),
      rate: (if ($lines | length) > 1
        then ($lines[-1][1] - $lines[0][1]) * 1000 / ($lines[-1][0] - $lines[0][0]) else null end)}')
}

# The effect beside its cause, as chaosd itself saw it.
print_effects() {
  local name cell
  printf '\n%-14s %10s %14s %12s %11s %8s\n' phase injected 'sent again' 'longest RTT' 'most queued' lines/s
  for name in "${names[@]}"; do
    IFS=$'\t' read -r -a cell < <(jq -r '[.injected // "-", .retransmitted // "-",
      (if .rtt_ms then (.rtt_ms * 10 | round / 10 | tostring) + " ms" else "-" end),
      .depth // "-", (if .rate then .rate | round else "-" end)] | @tsv' <<<"${effects[$name]}")
    printf '%-14s %10s %14s %12s %11s %8s\n' "$name" "${cell[@]}"
  done
  printf '\n%s\n' 'All of it from chaosctl metrics and chaosctl history, sampled once a second: what the fault injected; segments that
the TCP connections of its target sent again, and their longest round-trip time; lines that waited in the queue at most;
lines that the processor stored a second.'
}
