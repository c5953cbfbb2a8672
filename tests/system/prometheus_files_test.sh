#!/usr/bin/env bash
# The files for Prometheus and Grafana: rules that promtool takes and that fire when they should, panels whose queries it
# takes, and no name in them that chaosd does not export.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rules=$root/config/prometheus/chaosd.rules.yml
dashboard=$root/config/grafana/chaosd.json
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

promtool check rules "$rules"
promtool test rules "$root/config/prometheus/chaosd.rules_test.yml"
cp "$root/config/prometheus/chaosd.scrape.yml" "$temp/scrape.yml"
promtool check config "$temp/scrape.yml"

# A panel's query is a rule's expression once Grafana's variables have values.
jq -r '.. | objects | .expr? // empty' "$dashboard" |
  sed -e 's/[$]__rate_interval/1m/g' -e 's/[$][a-z]*/x/g' >"$temp/queries"
[[ $(wc -l <"$temp/queries") -ge 20 ]]
jq -nR '{groups: [{name: "panels", rules: [inputs | {record: "panel_\(input_line_number)", expr: .}]}]}' \
  <"$temp/queries" >"$temp/panels.yml"
promtool check rules "$temp/panels.yml"

grep -hoE '\bchaosd_[a-z0-9_]+' "$temp/queries" <(grep -A4 'expr:' "$rules") | sort -u >"$temp/used"
grep -rhoE '"chaosd_[a-z0-9_]+"' "$root/daemon" | tr -d '"' | sort -u >"$temp/exported"
unknown=$(comm -23 "$temp/used" "$temp/exported")
if [[ -n $unknown ]]; then
  echo "chaosd exports no such metrics: $unknown"
  exit 1
fi
printf '%d metrics used, all of them exported\n' "$(wc -l <"$temp/used")"
