#!/usr/bin/env bash
# Who may do what: the group chaos operates, chaos-view looks, everybody else does neither.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
remember_state

step 'alice of the group chaos breaks something'
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk
check as alice chaosctl stop --all
check hosts_talk

step 'bob of the group chaos-view looks, and breaks nothing'
view=(chaosctl --socket /run/chaosd/chaosd-view.sock)
check as bob "${view[@]}" health
check as bob "${view[@]}" list --all
refused 'serves GET only' as bob "${view[@]}" "${start_loss[@]}"
refused 'you may not open' as bob chaosctl "${start_loss[@]}"
check hosts_talk

step 'nobody gets nothing'
refused 'you may not open' as nobody chaosctl "${start_loss[@]}"
refused 'you may not open' as nobody "${view[@]}" health
check hosts_talk

no_residue
