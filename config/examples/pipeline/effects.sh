# Part of demo.sh: what chaosd itself measured in each phase, by chaosctl metrics, chaosctl history and chaosctl drops.
# shellcheck shell=bash disable=SC2016,SC2154,SC2004 # names of jq; what demo.sh declares

# Who asks chaosd to watch for dropped packets, or why it cannot.
watchers=()
no_drops=''

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

# watch_drops: from now on all that the kernel drops of the three services' packets is counted by chaosd's eBPF telemetry,
# and told twice a second in drops-SERVICE.json.
watch_drops() {
  local service
  for service in log-collector message-queue log-processor; do
    ctl -o json drops --target "service=$service" --watch --every 500ms >"$data/drops-$service.json" \
      2>"$data/drops-$service.err" </dev/null &
    watchers+=("$!")
  done
  if ! await_drops; then
    end_watching
    no_drops=$(jq -r '.detail // .' "$data/drops-log-collector.err" 2>/dev/null || cat "$data/drops-log-collector.err")
    : "${no_drops:=chaosctl drops told nothing within 5 s}"
  fi
}

# await_drops: until each of them has told what was there by now.
await_drops() {
  local now tries service told
  now=$(date +%s%3N)
  for ((tries = 0; tries < 50; tries++)); do
    told=0
    for service in log-collector message-queue log-processor; do
      if (($(drops_at "$service" "$now" later | jq '.at // 0') >= now)); then told=$((told + 1)); fi
    done
    if ((told == 3)); then return 0; fi
    kill -0 "${watchers[@]}" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

end_watching() {
  local watcher
  for watcher in "${watchers[@]}"; do
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
  done
  watchers=()
}

# drops_at SERVICE UNIX_MS earlier|later: what had been dropped of its packets by the last report before, or the first one
# after, as {at, natural, injected, unowned: {natural, injected}}.
drops_at() {
  # The last line may be one that is still being written.
  jq -n -R -c --argjson when "$2" --arg which "$3" '
    def ms: (.[:19] + "Z" | fromdate) * 1000 + (.[20:23] | tonumber);
    [inputs | fromjson? | {at: (.until | ms), natural, injected, unowned: .without_socket}] |
    if $which == "later" then map(select(.at >= $when)) | first else map(select(.at <= $when)) | last end //
      {natural: 0, injected: 0, unowned: {natural: 0, injected: 0}}' "$data/drops-$1.json" 2>/dev/null || printf '{}\n'
}

# dropped NAME: of the phase, as {natural, unowned, injected}: packets of the three services that the kernel dropped by
# itself; packets that it dropped without naming a socket, anybody's; and those that it says a fault dropped. What is
# natural counts from the last report before the phase to the last one in it, so that each drop is in one phase; a fault
# drops nothing beside its phase.
dropped() {
  local service start=$((start_ns[$1] / 1000000)) end=$((end_ns[$1] / 1000000))
  for service in log-collector message-queue log-processor; do
    jq -n -c --argjson before "$(drops_at "$service" "$start" earlier)" \
      --argjson last "$(drops_at "$service" "$end" earlier)" --argjson after "$(drops_at "$service" "$end" later)" '{
      natural: ($last.natural - $before.natural), unowned: ($last.unowned.natural - $before.unowned.natural),
      injected: ($after.injected - $before.injected), hidden: ($after.unowned.injected - $before.unowned.injected)}'
  done | jq -s -c '{natural: (map(.natural) | add), unowned: (map(.unowned) | max),
    injected: ((map(.injected) | add) + (map(.hidden) | max))}'
}

# note_drops: what was dropped in each phase, once all of it has been told.
note_drops() {
  local name
  [[ -z $no_drops ]] || return 0
  for name in "${names[@]}"; do
    effects[$name]=$(jq -c --argjson dropped "$(dropped "$name")" '.dropped = $dropped' <<<"${effects[$name]}")
  done
}

# The effect beside its cause, as chaosd itself saw it.
print_effects() {
  local name cell
  printf '\n%-14s %10s %10s %14s %12s %11s %8s\n' phase injected natural 'sent again' 'longest RTT' 'most queued' lines/s
  for name in "${names[@]}"; do
    IFS=$'\t' read -r -a cell < <(jq -r '[.injected // "-",
      (.dropped | if . == null then "n/a" elif .unowned == 0 then .natural else "\(.natural) (+\(.unowned))" end),
      .retransmitted // "-",
      (if .rtt_ms then (.rtt_ms * 10 | round / 10 | tostring) + " ms" else "-" end),
      .depth // "-", (if .rate then .rate | round else "-" end)] | @tsv' <<<"${effects[$name]}")
    printf '%-14s %10s %10s %14s %12s %11s %8s\n' "$name" "${cell[@]}"
  done
  printf '\n%s\n' 'All of it from chaosctl metrics, chaosctl history and chaosctl drops: what the fault injected; packets of the three
services that the kernel dropped by itself (and, +N, those of which it names no socket, anybody'"'"'s); segments that the TCP
connections of the target sent again, and their longest round-trip time; lines that waited in the queue at most; lines
that the processor stored a second. natural is told twice a second: so late a drop may be in the phase after.'
  [[ -z $no_drops ]] || printf 'natural: cannot be had on this host: %s\n' "$no_drops"
}
