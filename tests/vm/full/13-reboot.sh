#!/usr/bin/env bash
# The host starts again, by power and not by systemd, while faults of each ownership class are active: /run and the faults
# are gone together, what is kept on disk is whole, and nothing is started that nobody asked for.
. "$(dirname "$0")/lib.sh"

kept=/var/tmp/story-reboot
unit=story-victim.service
works() { pgrep -f '^chaosd-load'; }
limit() { cat "/sys/fs/cgroup/system.slice/$unit/pids.max"; }
unit_is_limited() { [[ $(limit) != $(cat "$kept/limit") ]]; }

# starts KIND ARGS...: a scenario that would last far beyond the reboot.
starts() {
  chaosctl -o json start "$@" --duration 9m | jq -er .id >>"$kept/ids" || fail "it did not start: chaosctl start $*"
  printf 'ok: %s\n' "$*"
}

before_it() {
  rm -rf "$kept"
  mkdir -p "$kept"
  cat >"/etc/systemd/system/$unit" <<'END'
[Service]
ExecStart=/bin/sleep infinity
TasksAccounting=yes
[Install]
WantedBy=multi-user.target
END
  systemctl daemon-reload
  check systemctl enable --now "$unit"
  cp /etc/chaosd/chaosd.yaml "$kept/settings"
  sed -i -E 's/^( *blast_radius_limit:).*/\1 1/' /etc/chaosd/chaosd.yaml
  check systemctl reload chaosd.service
  check answers
  limit >"$kept/limit"
  make_hosts

  step 'faults that descriptors own, that a worker owns, and that the undo journal owns'
  starts packet_loss --target netns=left --target peer=10.99.0.2 -p probability=100%
  check hosts_do_not_talk
  starts resource_exhaustion --target host=localhost -p resource=cpu -p mode=load -p level=20%
  within 10 works
  starts resource_exhaustion --target "unit=$unit" -p resource=pids -p mode=limit -p level=50%
  check unit_is_limited
  check test -n "$(find /run/chaosd -name '*journal*')"
  sync

  step 'the power goes'
}

after_it() {
  step 'the host is back'
  check test -s "$kept/ids"
  check systemctl is-active "$unit"
  refused 'No such file' ls /run/netns/left
  within 20 answers
  if works; then fail 'a worker is there'; fi
  if unit_is_limited; then fail "the unit is limited to $(limit)"; fi
  check chaosctl residue
  [[ $(chaosctl -o json list | jq '.items // .scenarios // . | length') == 0 ]] || fail 'a scenario goes on after the reboot'
  check chaosctl audit --verify
  while read -r id; do check grep -q "$id" <(chaosctl -o json audit); done <"$kept/ids"

  step 'and works'
  make_hosts
  remember_state
  check chaosctl "${start_loss[@]}"
  check hosts_do_not_talk
  check chaosctl stop --all
  check hosts_talk
  no_residue

  systemctl disable --now "$unit"
  rm -f "/etc/systemd/system/$unit"
  systemctl daemon-reload
  cp "$kept/settings" /etc/chaosd/chaosd.yaml
  systemctl reload chaosd.service
  rm -rf "$kept"
}

if [[ $JOB_REBOOTED == 0 ]]; then
  before_it
  exit 76
fi
after_it
