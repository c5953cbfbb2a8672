#!/usr/bin/env bash
# The commands of README.md's example, as they stand there, against the installed package.
. "$(dirname "$0")/lib.sh"

systemctl start chaosd.service
remove_hosts
remember_state
cd "$source"
awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >/tmp/readme.sh
check test -s /tmp/readme.sh
step 'the commands'
cat /tmp/readme.sh
step 'what they do'
trap remove_hosts EXIT
status=0
bash -euo pipefail /tmp/readme.sh >/tmp/readme.log 2>&1 || status=$?
cat /tmp/readme.log
((status == 0)) || fail "they end with $status"

step 'ping saw what README.md says: about half'
loss=$(sed -nE 's/.* ([0-9.]+)% packet loss.*/\1/p' /tmp/readme.log)
awk -v loss="$loss" 'BEGIN { exit !(loss > 20 && loss < 80) }' || fail "$loss % of the packets were lost"
no_residue
