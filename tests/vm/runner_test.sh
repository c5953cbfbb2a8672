#!/usr/bin/env bash
# tests/vm/run refuses what it cannot do, says why, and merges results honestly. Boots nothing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

fail() {
  echo "FAILED: $*"
  exit 1
}

# expect STATUS TEXT CMD...: CMD ends with STATUS and says TEXT.
expect() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >"$temp/output" 2>&1 </dev/null || status=$?
  [[ $status == "$wanted" ]] || fail "$* ended with $status, not $wanted: $(cat "$temp/output")"
  grep -qF -- "$text" "$temp/output" || fail "$* did not say '$text': $(cat "$temp/output")"
}

expect 0 'usage: tests/vm/run' "$here/run" --help
expect 2 'no such kernel: 5.4' "$here/run" --kernel 5.4
expect 2 '--kernel takes a value' "$here/run" --kernel
expect 2 'no such option: --fast' "$here/run" --fast
expect 2 '--shell needs --kernel' "$here/run" --shell
expect 2 'without --filter' "$here/run" --every-run --filter Gate

# A guest that ran three of five jobs: one passed, one failed, one says that it was skipped; one more was skipped by
# gtest, and one it never got to.
mkdir "$temp/guest"
printf '%s\tcase %s\n' 0 good 1 bad 2 script 3 gtest 4 never >"$temp/names"
printf 'a-kernel\n' >"$temp/guest/release"
for job in 0:0 1:3 2:77 3:0; do
  echo "${job#*:}" >"$temp/guest/${job%:*}.rc"
  echo 1500 >"$temp/guest/${job%:*}.ms"
  echo "printed by ${job%:*}" >"$temp/guest/${job%:*}.log"
done
echo '{"testsuites": [{"testsuite": [{"result": "SKIPPED"}]}]}' >"$temp/guest/3.json"
(
  # shellcheck source=lib/results.sh
  . "$here/lib/results.sh"
  results_merge "$temp" "$temp/names" fast 6.12 7
  results_show "$temp" >"$temp/shown"
  if results_good "$temp"; then fail 'a failure was taken for success'; fi
) || exit 1
counts=$(jq -r '"\(.release) \(.passed) \(.failed) \(.skipped) \(.not_run)"' "$temp/result.json")
[[ $counts == 'a-kernel 1 1 2 1' ]] || fail "counts: $counts"
[[ $(jq -r '.tests[1].log' "$temp/result.json") == 'printed by 1' ]] || fail 'the log of a failed test is missing'
grep -q 'FAILED 1.5 s  case bad' "$temp/shown" || fail "the summary does not name the failure: $(cat "$temp/shown")"
echo 'tests/vm/run refuses and reports as it should'
