#!/usr/bin/env bash
# setup.sh refuses what it cannot do, says why, and changes nothing.
set -euo pipefail

setup=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/setup.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $*"
  exit 1
}

# expect STATUS TEXT CMD...: CMD ends with STATUS and says TEXT.
expect() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >"$work/output" 2>&1 </dev/null || status=$?
  [[ $status == "$wanted" ]] || fail "$* ended with $status, not $wanted: $(cat "$work/output")"
  grep -qF -- "$text" "$work/output" || fail "$* did not say '$text': $(cat "$work/output")"
}

expect 0 'usage: ./setup.sh COMMAND' "$setup" help
expect 0 'usage: ./setup.sh COMMAND' "$setup"
expect 2 'usage: ./setup.sh COMMAND' "$setup" no-such-command
if [[ $(id -u) == 0 ]]; then
  # Somebody else's shell can read the script through a descriptor even where it may not enter the directory.
  expect 1 "'demo' needs root" setpriv --reuid 65534 --clear-groups bash -c 'bash <(cat <&3) demo' 3<"$setup"
  expect 1 'no such group of packages: nonsense' "$setup" packages nonsense
  expect 1 'nothing to remove' env PREFIX="$work" "$setup" uninstall
  expect 1 'takes only --purge' "$setup" uninstall --everything
fi
echo 'setup.sh refuses as it should'
