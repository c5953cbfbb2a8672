#!/usr/bin/env bash
# host_state.sh sees what is left behind, and sees nothing once it is gone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=chstate$$
work=$(mktemp -d)
cgroup=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)/chaos-$name
sleeper=''
export CHAOS_HOST_STATE=$name

cleanup() {
  if [[ -n $sleeper ]]; then
    kill "$sleeper" 2>/dev/null || true
    wait "$sleeper" 2>/dev/null || true
  fi
  if [[ -e /run/netns/$name ]]; then ip netns del "$name"; fi
  if [[ -e $cgroup ]]; then rmdir "$cgroup"; fi
  rm -rf "/run/$name" "$work"
}
trap cleanup EXIT

fail() {
  echo "FAILED: $*"
  exit 1
}

if [[ $(id -u) != 0 ]]; then
  echo 'SKIPPED: needs root'
  exit 77
fi

ip netns add "$name"
ip -n "$name" link set lo up
ip -n "$name" link add planted type bridge
tc -n "$name" qdisc add dev planted clsact
mkdir "$cgroup" "/run/$name"
# A child of this test would count as the caller's own: an orphan does not.
sleeper=$(setsid bash -c 'sleep 60 >/dev/null 2>&1 & echo $!')
"$here/host_state.sh" >"$work/during"
for line in "namespace $name" "netns:$name link .* planted" "netns:$name qdisc qdisc clsact .*planted" \
  "cgroup .*/chaos-$name" "run d /run/$name" 'process sleep (mark)'; do
  grep -qE "^${line//\(mark\)/\\(mark\\)}" "$work/during" || fail "did not see: $line"
done

cleanup
work=$(mktemp -d)
sleeper=''
sleep 0.2
"$here/host_state.sh" >"$work/after"
if grep -E "$name" "$work/after"; then fail 'still sees what is gone'; fi
echo 'host_state.sh sees what is there and nothing else'
