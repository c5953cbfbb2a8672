#!/usr/bin/env bash
# A daemon that hangs: its faults fall silent long before systemd's watchdog ends it and starts another.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
remember_state
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk

step 'the daemon hangs'
pid=$(main_pid)
restarts=$(systemctl show --property NRestarts --value chaosd.service)
kill -STOP "$pid"
within 2 hosts_talk
[[ $(main_pid) == "$pid" ]] || fail 'the faults fell silent only when the watchdog fired'

step 'the watchdog fires, and another daemon serves'
within 30 has_new_pid "$pid"
if kill -0 "$pid" 2>/dev/null; then fail 'the daemon that hangs is still there'; fi
(($(systemctl show --property NRestarts --value chaosd.service) > restarts)) || fail 'systemd counts no restart'
check bash -c 'journalctl -b -u chaosd.service | grep -q "Watchdog timeout"'
within 10 answers
check hosts_talk
no_residue
