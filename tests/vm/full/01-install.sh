#!/usr/bin/env bash
# The package is installed by apt as anybody would, and the first who speaks to a socket starts the daemon.
. "$(dirname "$0")/lib.sh"

step 'install'
check systemctl is-system-running
check env DEBIAN_FRONTEND=noninteractive apt-get -q -y install "$packages/chaosd.deb"
check dpkg --verify chaosd
check getent group chaos
check getent group chaos-view
check test -f /etc/chaosd/chaosd.yaml

step 'users for what follows: alice may operate, bob may look'
useradd --create-home --groups chaos alice
useradd --create-home --groups chaos-view bob

step 'sockets listen before the daemon runs, and the daemon starts by itself'
systemctl stop chaosd.service
check systemctl start chaosd.socket chaosd-view.socket
[[ $(stat -c '%a %U %G' /run/chaosd/chaosd.sock) == '660 root chaos' ]] || fail 'mode or owner of chaosd.sock'
[[ $(stat -c '%a %U %G' /run/chaosd/chaosd-view.sock) == '660 root chaos-view' ]] || fail 'mode or owner of chaosd-view.sock'
if is_active chaosd.service; then fail 'the daemon runs although nobody asked for it'; fi
check as alice chaosctl health
check is_active chaosd.service
[[ $(ps -o comm= -p "$(main_pid)") == chaosd ]] || fail 'the main process is not chaosd'

step 'units are sound, manual pages and completions are there'
check systemd-analyze verify --man=no chaosd.service chaosd.socket chaosd-view.socket
for page in man1/chaosctl.1 man5/chaosd.yaml.5 man8/chaosd.8; do check compgen -G "/usr/share/man/$page*"; done
check bash -c '. /usr/share/bash-completion/completions/chaosctl'
systemd-analyze security --no-pager chaosd.service | tail -n 1
