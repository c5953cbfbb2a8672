#!/usr/bin/env bash
# What chaosd gives Prometheus, held against Prometheus' own tools and server: promtool on the metrics; a real server that
# loads the rules and scrapes the daemon's loopback listener without an error; its injected events are chaosctl's.
# CHAOS_TEST_FULL=1: the server scrapes for 5 minutes.
set -euo pipefail

chaosd=$1
chaosctl=$2
config=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../config" && pwd)

fail() {
  echo "FAILED: $*"
  exit 1
}

for tool in prometheus promtool curl jq ip ping; do
  if ! command -v "$tool" >/dev/null; then
    echo "skipped: $tool is not installed (./setup.sh packages test)"
    exit 77
  fi
done
if ((EUID != 0)); then
  echo 'skipped: needs to run as root'
  exit 77
fi

dir=$(mktemp -d)
ns=chaos-prom-$$
pids=()
finish() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  ip netns del "$ns" 2>/dev/null || true
  rm -rf "$dir"
}
trap finish EXIT

# until_true WHAT CMD...: at most 30 s.
until_true() {
  local what=$1 tries
  shift
  for ((tries = 0; tries < 300; tries++)); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  fail "$what"
}

free_port() {
  local port
  for ((port = 20000 + RANDOM % 20000; ; port++)); do
    if [[ -z $(ss -Hltn "sport = :$port") ]]; then
      echo "$port"
      return
    fi
  done
}

port=$(free_port)
server_port=$(free_port)
cat >"$dir/chaosd.yaml" <<YAML
chaos_testing: {blast_radius_limit: 1}
metrics: {listen: "127.0.0.1:$port"}
services:
  test: {process: chaos-prom-none, health: {type: tcp, address: "127.0.0.1:$port"}}
YAML
"$chaosd" --config "$dir/chaosd.yaml" --runtime-dir "$dir/run" --state-dir "$dir/state" --instance "prom$$" \
  >"$dir/chaosd.log" 2>&1 &
pids+=($!)
scrape() { curl -sf "http://127.0.0.1:$port/metrics" "$@"; }
until_true 'chaosd does not serve /metrics' scrape
ctl() { "$chaosctl" --socket "$dir/run/chaosd.sock" "$@"; }

# Nothing but /metrics, and nothing but reading.
[[ $(curl -s -o "$dir/answer" -w '%{http_code}' "http://127.0.0.1:$port/api/chaos/scenarios") == 404 ]] ||
  fail "the listener serves more than /metrics: $(cat "$dir/answer")"
[[ $(curl -s -o "$dir/answer" -w '%{http_code}' -X POST "http://127.0.0.1:$port/metrics") == 403 ]] ||
  fail "the listener takes a POST: $(cat "$dir/answer")"

ip netns add "$ns"
ip -n "$ns" link set lo up
id=$(ctl -o json start packet_loss --target "netns=$ns" -p probability=100% --duration 10m | jq -r .id)
until_true 'the probe of the service does not pass' eval "scrape | grep -q '^chaosd_service_healthy.* 1'"
scrape | promtool check metrics || fail 'promtool finds fault with the metrics'
scrape -H 'Accept: application/openmetrics-text' | tail -n 1 | grep -qx '# EOF' || fail 'no OpenMetrics'

cat >"$dir/prometheus.yml" <<YAML
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["$config/prometheus/chaosd.rules.yml"]
scrape_configs:
  - job_name: chaosd
    static_configs: [{targets: ["127.0.0.1:$port"]}]
YAML
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" \
  --web.listen-address="127.0.0.1:$server_port" --log.level=warn >"$dir/prometheus.log" 2>&1 &
pids+=($!)
# query EXPR: the value of the one series that it gives.
query() {
  curl -sf --data-urlencode "query=$1" "http://127.0.0.1:$server_port/api/v1/query" |
    jq -er 'if (.data.result | length) == 1 then .data.result[0].value[1] else error("not one series") end'
}
until_true 'Prometheus does not see chaosd' query 'up{job="chaosd"} == 1'

rounds=${CHAOS_TEST_FULL:+300}
began=$SECONDS
while ((SECONDS - began < ${rounds:-10})); do
  ip netns exec "$ns" ping -q -c 5 -i 0.2 -W 0.2 127.0.0.1 >/dev/null 2>&1 || true
done
ctl stop "$id" >/dev/null
injected=$(ctl -o json show "$id" | jq .counters.injected)
((injected >= 5)) || fail "chaosctl shows $injected injected events"
agrees() { [[ $(query "chaosd_fault_injected_total{id=\"$id\"}") == "$injected" ]]; }
until_true "Prometheus does not come to chaosctl's $injected injected events" agrees
[[ $(query 'count_over_time(up{job="chaosd"}[10m]) - sum_over_time(up{job="chaosd"}[10m])') == 0 ]] ||
  fail 'some scrapes failed'
scrapes=$(query 'count_over_time(up{job="chaosd"}[10m])')
if grep -E 'level=(warn|error)' "$dir/prometheus.log"; then fail 'Prometheus complains'; fi
echo "$scrapes scrapes without an error; Prometheus and chaosctl both have $injected injected events"
