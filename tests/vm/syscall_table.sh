#!/usr/bin/env bash
# The tables of chaosd(8), SYSCALL FAILURE and SYSCALL LATENCY: which call can be failed, or made to wait, on which
# kernel, and how. Made of what the tests SyscallFailure.EachCallFailsOrIsRefusedWithTheReason and
# SyscallLatency.EachCallWaitsOrIsRefusedWithTheReason found in the last runs of tests/vm/run (build/vm/fast-KERNEL).
#
# usage: syscall_table.sh [--waits] KERNEL... >table
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
runs=${CHAOS_VM_RUNS:-$here/../../build/vm}

word=row
if [[ ${1-} == --waits ]]; then
  word=wait-row
  shift
fi
if (($# == 0)); then
  echo "usage: ${0##*/} [--waits] KERNEL..." >&2
  exit 2
fi

rows=()
for kernel in "$@"; do
  row=$(grep -hs "^$word: " "$runs/fast-$kernel"/guest/*.log || true)
  if [[ -z $row ]]; then
    echo "${0##*/}: no run on $kernel in $runs" >&2
    exit 1
  fi
  rows+=("$row")
done

echo "[[ *call*"
for kernel in "$@"; do echo ":- *$kernel*"; done
sed -n "s/^$word: \([^ ]*\) .*/\1/p" <<<"${rows[0]}" | sort -u | while read -r call; do
  echo "|  ${call//_/\\_}"
  for row in "${rows[@]}"; do
    how=$(sed -n "s/^$word: $call | \([^:]*\).*/\1/p" <<<"$row")
    case $how in
      fmod_ret* | "sleeping fmod_ret"*) echo ":- entry" ;;
      bpf_override_return*) echo ":- entry (kprobe)" ;;
      security*) echo ":- security hook" ;;
      cgroup*) echo ":- cgroup hook" ;;
      *) echo ":- refused" ;;
    esac
  done
done
