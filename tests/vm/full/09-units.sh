#!/usr/bin/env bash
# One unit loses its network, by an alias of its name, over its restarts, to its end; another unit in the same namespace,
# and one of the same name that is not systemd's, do not.
. "$(dirname "$0")/lib.sh"

units=/etc/systemd/system
logs=/run/story-units

# unit NAME SCRIPT: a service of the left host.
unit() {
  printf '[Service]\nNetworkNamespacePath=/run/netns/left\nDelegate=yes\nExecStart=/bin/bash -c "%s"\n' "$2" \
    >"$units/$1.service"
}
pings() { printf 'exec ping -O -n -i 0.2 10.99.0.2 >>%s/%s 2>&1' "$logs" "$1"; }
lines() { grep -cE "$2" "$logs/$1" || true; }
answered() { lines "$1" 'bytes from'; }
unanswered() { lines "$1" 'no answer yet'; }

more_than() { (($("$1" "$2") > $3)); }
# talks NAME: answers come in.
talks() { within 10 more_than answered "$1" "$(($(answered "$1") + 3))"; }
# silent NAME: pings go out, and no answer comes.
silent() {
  local answers
  within 10 more_than unanswered "$1" "$(($(unanswered "$1") + 2))"
  answers=$(answered "$1")
  within 10 more_than unanswered "$1" "$(($(unanswered "$1") + 8))"
  [[ $(answered "$1") == "$answers" ]] || fail "$1 still gets answers"
  printf 'ok: %s gets none\n' "$1"
}
ended_as() { [[ $(chaosctl -o json show "$id" | jq -r .end_reason) == "$1" ]]; }

settings=/etc/chaosd/chaosd.yaml
# protect LIST: the settings' protect.units, as chaosd has them then.
protect() {
  sed -i -E "s/^  units: \\[.*\\]/  units: [$1]/" "$settings"
  check systemctl reload chaosd.service
}
# It looks at the plan only.
is_refused_as_protected() {
  local answer
  ! answer=$(as alice chaosctl plan packet_loss --target unit=victim.service -p probability=1% 2>&1) &&
    grep -q 'unit victim.service' <<<"$answer" && grep -q protect <<<"$answer"
}

# socket NAME PORT ACCEPT: a TCP socket of systemd's own.
socket() {
  printf '[Socket]\nListenStream=127.0.0.1:%s\nAccept=%s\n' "$2" "$3" >"$units/$1.socket"
}
# greeted PORT: whoever serves there says hello.
greeted() {
  # shellcheck disable=SC2016 # for the inner shell
  [[ $(timeout $((4 * ${CHAOS_TIME_SCALE:-1})) bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" && head -n 1 <&3' bash "$1") == hello ]]
}
is_ignored() { ! greeted "$1"; }

clean_up() {
  sed -i -E 's/^  units: \[.*\]/  units: []/' "$settings"
  systemctl stop victim.service neighbour.service box.service {front,back}.socket front.service 2>/dev/null || true
  rm -rf "$units"/{victim,neighbour,box,also-victim,front,back@}.service "$units"/{front,back}.socket "$logs"
  systemctl daemon-reload
  remove_hosts
}

make_hosts
trap clean_up EXIT
mkdir -p "$logs"
nested=/sys/fs/cgroup/system.slice/box.service/system.slice/victim.service
unit victim "$(pings victim)"
ln -s victim.service "$units/also-victim.service"
unit neighbour "$(pings neighbour)"
# What a manager inside a container would make: a cgroup of the same name, deeper.
unit box "mkdir -p $nested && echo 0 >$nested/cgroup.procs && $(pings box)"
systemctl daemon-reload
check systemctl start victim.service neighbour.service box.service
for name in victim neighbour box; do talks "$name"; done
check test -d $nested
check answers
remember_state

step 'the unit loses its network, and nothing else does'
id=$(as alice chaosctl -o json start packet_loss --target unit=also-victim.service --target protocol=icmp \
  -p probability=100% --duration 5m | jq -r .id)
[[ $id != null && -n $id ]] || fail 'it did not start'
silent victim
talks neighbour
talks box

step 'restarted, it is the same unit'
check systemctl restart victim.service
silent victim
talks neighbour

step 'stopped for good, it is gone'
check systemctl stop victim.service
within 20 ended_as target_gone
talks neighbour
talks box
check systemctl start victim.service
talks victim

step 'a unit is hit by way of the socket that systemd made for it'
socket back 7301 yes
socket front 7300 no
printf '[Service]\nStandardInput=socket\nExecStart=/bin/echo hello\n' >"$units/back@.service"
printf '[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd 127.0.0.1:7301\n' >"$units/front.service"
systemctl daemon-reload
check systemctl start back.socket front.socket
within 10 greeted 7301
within 10 greeted 7300
check systemctl is-active front.service
started=$(as alice chaosctl -o json start packet_loss --target unit=front.service --target direction=ingress \
  -p probability=100% --duration 5m)
id=$(jq -r .id <<<"$started")
[[ $id != null && -n $id ]] || fail 'it did not start'
check grep -q 'made by another cgroup and hit with the target: tcp port 7300 (listening)' <<<"$started"
check is_ignored 7300
check greeted 7301
check as alice chaosctl stop "$id"
within 10 greeted 7300
check systemctl stop front.socket back.socket front.service

step 'protected by its alias, it is refused'
if is_refused_as_protected; then fail 'it is refused before it is protected'; fi
protect also-victim.service
within 10 is_refused_as_protected
protect ''
within 10 as alice chaosctl plan packet_loss --target unit=victim.service -p probability=1%
no_residue
