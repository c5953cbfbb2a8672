#!/usr/bin/env bash
# The table of chaosd(8), SYSCALL FAILURE: which call can be failed on which kernel, and how. Made of what the test
# SyscallFailure.EachCallFailsOrIsRefusedWithTheReason found in the last runs of tests/vm/run (build/vm/fast-KERNEL).
#
# usage: syscall_table.sh KERNEL... >table
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
runs=${CHAOS_VM_RUNS:-$here/../../build/vm}

if (($# == 0)); then
  echo "usage: ${0##*/} KERNEL..." >&2
  exit 2
fi

rows=()
for kernel in "$@"; do
  row=$(grep -hs '^row: ' "$runs/fast-$kernel"/guest/*.log || true)
  if [[ -z $row ]]; then
    echo "${0##*/}: no run on $kernel in $runs" >&2
    exit 1
  fi
  rows+=("$row")
done

echo "[[ *call*"
for kernel in "$@"; do echo ":- *$kernel*"; done
sed -n 's/^row: \([^ ]*\) .*/\1/p' <<<"${rows[0]}" | sort -u | while read -r call; do
  echo "|  ${call//_/\\_}"
  for row in "${rows[@]}"; do
    how=$(sed -n "s/^row: $call | \([^:]*\).*/\1/p" <<<"$row")
    case $how in
      fmod_ret*) echo ":- entry" ;;
      bpf_override_return*) echo ":- entry (kprobe)" ;;
      security*) echo ":- security hook" ;;
      cgroup*) echo ":- cgroup hook" ;;
      *) echo ":- refused" ;;
    esac
  done
done
