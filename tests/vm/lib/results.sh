# shellcheck shell=bash
# From what a guest published to one JSON document, to a summary, to a verdict.

# The limit of a job grows with emulation, and so do the limits inside tests (CHAOS_TIME_SCALE, tests/support).
time_scale=${CHAOS_TIME_SCALE:-4}

# results_merge DIRECTORY JOBS MODE KERNEL SECONDS: DIRECTORY/result.json. JOBS has a line "NUMBER<tab>NAME" per job; one
# that the guest did not get to has not passed.
results_merge() {
  local directory=$1 jobs=$2 mode=$3 kernel=$4 seconds=$5 number name
  while IFS=$'\t' read -r number name; do
    job_result "$directory/guest/$number" "$name"
  done <"$jobs" | jq -s --arg mode "$mode" --arg kernel "$kernel" --arg release "$(file_or "$directory/guest/release" unknown)" \
    --argjson seconds "$seconds" --argjson boot "$(file_or "$directory/guest/started" null)" \
    --argjson scale "$time_scale" '
    def count(s): map(select(.status == s)) | length;
    {mode: $mode, kernel: $kernel, release: $release, seconds: $seconds, boot_seconds: $boot, time_scale: $scale,
     passed: count("passed"), failed: count("failed"), skipped: count("skipped"), not_run: count("not_run"),
     tests: .}' >"$directory/result.json"
}

file_or() { if [[ -s $1 ]]; then head -n 1 "$1"; else echo "$2"; fi; }

# job_result PREFIX NAME: one job as JSON. gtest says which of its tests were skipped; scripts say so by status 77.
job_result() {
  local prefix=$1 name=$2 rc status
  rc=$(file_or "$prefix.rc" none)
  case $rc in
    none) status=not_run ;;
    0) status=passed ;;
    77) status=skipped ;;
    *) status=failed ;;
  esac
  if [[ $rc == 0 && -s $prefix.json ]] && jq -e '[.testsuites[].testsuite[].result] | all(. == "SKIPPED")' \
    "$prefix.json" >/dev/null; then
    status=skipped
  fi
  jq -n --arg name "$name" --arg status "$status" --arg rc "$rc" --argjson ms "$(file_or "$prefix.ms" 0)" \
    --rawfile log <(tail -n 60 "$prefix.log" 2>/dev/null || true) '
    {name: $name, status: $status, seconds: ($ms / 1000)}
    + if $rc == "124" then {reason: "out of time"} else {} end
    + if $status == "passed" then {} else {log: $log} end'
}

# results_show DIRECTORY: what a person wants to know, failures with the end of what they printed.
results_show() {
  jq -r '
    (.tests[] | "  \(.status | ascii_upcase | .[0:7]) \(.seconds * 10 | round / 10) s  \(.name)"
      + if .reason then " (\(.reason))" else "" end),
    (.tests[] | select(.status == "failed" or .status == "skipped") | "\n---- \(.status): \(.name)\n\(.log)"),
    "\(.mode) on \(.kernel) (\(.release)): \(.passed) passed, \(.failed) failed, \(.skipped) skipped, "
      + "\(.not_run) not run; \(.seconds) s, of which boot \(.boot_seconds // "?") s"' "$1/result.json"
}

# results_good DIRECTORY: something ran, and nothing failed or was left out.
results_good() { jq -e '.passed > 0 and .failed == 0 and .not_run == 0' "$1/result.json" >/dev/null; }
