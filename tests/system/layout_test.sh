#!/usr/bin/env bash
# The top level is fixed: nothing is missing there, and nothing else is there.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
allowed='.ci .clang-format .clang-tidy .gitignore CHANGELOG.md CMakeLists.txt CMakePresets.json CONTRIBUTING.md LICENSE
README.md bpf config ctl daemon setup.sh systemd tests'
# What a checkout, a build and editors put there; .gitignore names them too.
ignored='.git build .cache compile_commands.json'

status=0
for entry in $allowed; do
  if [[ ! -e $entry ]]; then
    echo "missing at the top level: $entry"
    status=1
  fi
done
while IFS= read -r entry; do
  if ! grep -qxF "$entry" < <(tr ' ' '\n' <<<"$allowed $ignored"); then
    echo "not allowed at the top level: $entry"
    status=1
  fi
done < <(find . -mindepth 1 -maxdepth 1 -printf '%f\n' | sort)
exit "$status"
