#!/usr/bin/env bash
# A newer package comes while a scenario is active: the scenario ends, the daemon is the new one, settings stay.
. "$(dirname "$0")/lib.sh"

make_hosts
check answers
echo '# kept' >>/etc/chaosd/chaosd.yaml
settings=$(sha256sum /etc/chaosd/chaosd.yaml)
version=$(dpkg-query -W -f '${Version}' chaosd)
remember_state
check as alice chaosctl "${start_loss[@]}"
check hosts_do_not_talk

step 'upgrade'
pid=$(main_pid)
check env DEBIAN_FRONTEND=noninteractive apt-get -q -y install "$packages/chaosd-newer.deb"
check dpkg --compare-versions "$(dpkg-query -W -f '${Version}' chaosd)" gt "$version"
check hosts_talk
within 10 answers
has_new_pid "$pid" || fail 'the old daemon still runs'
[[ $(sha256sum /etc/chaosd/chaosd.yaml) == "$settings" ]] || fail 'the settings are others'
check as alice chaosctl health
no_residue
