#!/usr/bin/env bash
# Each series has somebody else who says what it says, and a test in which the two are compared: series_readers.txt.
# Those of the host are found by a walk over all that is shown (Telemetry.EverySeriesOfTheHost...).
set -euo pipefail

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
table=$tests/system/series_readers.txt
failures=0
fail() {
  printf '%s\n' "$*"
  failures=$((failures + 1))
}

# A metric's table entry begins with its name; the name of a histogram alone is none.
shown=$(grep -rhoE '"chaosd_[a-z0-9_]+"' "$tests/../daemon" --include='*.cpp' --include='*.h' | tr -d '"' |
  grep -v '^chaosd_host_' | grep -vx chaosd_tcp_rtt_seconds | sort -u)
(($(wc -l <<<"$shown") > 50)) || fail 'hardly any series were found in daemon/'
named=$(grep -v '^#' "$table" | awk '{ print $1 }' | sort)
while read -r name; do fail "$name: nobody else reads it ($table)"; done < <(comm -23 <(echo "$shown") <(echo "$named"))
while read -r name; do fail "$name: chaosd has no such series"; done < <(comm -13 <(echo "$shown") <(echo "$named"))

while read -r name where; do
  # Services and targets are compared by the same code.
  what=${name#chaosd_service_}
  what=${what#chaosd_target_}
  # And outcomes in a loop.
  what=$(sed -E 's/^chaosd_fault_(.*)_total$/\1/' <<<"$what")
  if [[ $where == *.* ]]; then
    file=$(grep -rlE "TEST(_F|_P)?\(${where%%.*}, ${where#*.}\)" "$tests" --include='*.cpp' || true)
    [[ -n $file ]] || fail "$name: there is no test $where"
  else
    file=$tests/vm/full/$where.sh
    [[ -e $file ]] || fail "$name: there is no story $where"
  fi
  [[ ! -e $file ]] || grep -qF "$what" "$file" || fail "$name: $file does not look at it"
done < <(grep -v '^#' "$table" | awk '{ print $1, $NF }')

((failures == 0)) || exit 1
printf 'ok: %d series\n' "$(wc -l <<<"$named")"
