#!/usr/bin/env bash
# The daemon is killed; what else there is in its unit is not. The fault is gone at once, and the daemon is back without it.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
remember_state
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk

step 'the main process is killed'
pid=$(main_pid)
check systemctl kill --signal KILL --kill-who main chaosd.service
check hosts_talk
within 10 has_new_pid "$pid"
within 10 answers
[[ $(chaosctl -o json list | jq '.items // .scenarios // . | length') == 0 ]] || fail 'a scenario survived its daemon'
check hosts_talk
no_residue
