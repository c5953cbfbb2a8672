#!/usr/bin/env bash
# Every process of the unit is killed at once. The fault is gone at once, and the daemon is back without it.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
remember_state
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk

step 'all of the unit is killed'
pid=$(main_pid)
check systemctl kill --signal KILL --kill-who all chaosd.service
check hosts_talk
within 10 has_new_pid "$pid"
within 10 answers
[[ $(chaosctl -o json list | jq '.items // .scenarios // . | length') == 0 ]] || fail 'a scenario survived its daemon'
check hosts_talk
no_residue
