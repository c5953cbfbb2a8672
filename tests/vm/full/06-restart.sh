#!/usr/bin/env bash
# Restart and stop with a scenario active: it ends, sockets and runtime directory stay for the next daemon.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
remember_state
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk

step 'restart'
pid=$(main_pid)
sockets=$(stat -c %i /run/chaosd/chaosd.sock /run/chaosd/chaosd-view.sock)
check systemctl restart chaosd.service
has_new_pid "$pid" || fail 'it is the same process'
[[ $(stat -c %i /run/chaosd/chaosd.sock /run/chaosd/chaosd-view.sock) == "$sockets" ]] || fail 'the sockets are others'
check hosts_talk
no_residue

step 'stop, and the socket starts it again'
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk
check systemctl stop chaosd.service
check hosts_talk
check test -d /run/chaosd
[[ $(stat -c %i /run/chaosd/chaosd.sock /run/chaosd/chaosd-view.sock) == "$sockets" ]] || fail 'the sockets are others'
within 10 answers
no_residue
