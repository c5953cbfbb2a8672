#!/usr/bin/env bash
# The guardian in its unit: killed alone it is back, and a stop of the unit leaves neither it nor anything else.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
guardian_pid() { chaosctl -o json health | jq '.guardian_pid // 0'; }
has_guardian() { [[ $(guardian_pid) != 0 && $(guardian_pid) != "${1:-0}" ]]; }
within 5 has_guardian
remember_state

step 'the guardian alone is killed'
guardian=$(guardian_pid)
pid=$(main_pid)
kill -KILL "$guardian"
within 2 has_guardian "$guardian"
[[ $(main_pid) == "$pid" ]] || fail 'chaosd went with its guardian'
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk

step 'the unit is stopped: chaosd ends its scenarios, and the guardian goes by itself'
check systemctl stop chaosd.service
check hosts_talk
if pgrep -f chaosd-guardian; then fail 'the guardian outlives the unit'; fi
[[ $(tc -n left filter show dev eth0 egress; tc -n left qdisc show dev eth0 | grep clsact || true) == '' ]] ||
  fail 'a filter or qdisc is left'
check test ! -e /run/chaosd/journal/changes.undo
check systemctl start chaosd.service
within 10 answers
within 5 has_guardian
no_residue
