#!/usr/bin/env bash
# Units of systemd's crash, hang and run short of what they need: services, a slice, a delegated cgroup. Whoever ends
# chaosd, their cgroups are as before, and systemd has noticed nothing but the crashes.
. "$(dirname "$0")/lib.sh"

units=/etc/systemd/system
run=/run/story-components
tree=/sys/fs/cgroup
slice=$tree/story.slice
victim=$slice/victim.service
neighbour=$slice/neighbour.service
box=$slice/box.service

# service NAME: in story.slice; the rest of its section comes from stdin.
service() {
  {
    printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nSlice=story.slice\n'
    printf '%sAccounting=yes\n' CPU Memory IO Tasks
    cat
  } >"$units/$1.service"
}

main_of() { systemctl show --property MainPID --value "$1"; }
restarts_of() { systemctl show --property NRestarts --value "$1"; }
restarted() { (($(restarts_of "$1") >= $2)); }
in_cgroup() { grep -qx "$2" "$1/cgroup.procs"; }
frozen() { grep -qx 'frozen 1' "$1/cgroup.events"; }
thawed() { grep -qx 'frozen 0' "$1/cgroup.events"; }
reads() { [[ $(cat "$1") == "$2" ]]; }
limit_files() { cat "$1"/{cpu.max,memory.high,pids.max,io.max,cgroup.freeze}; }
limits_are() { [[ $(limit_files "$1") == "$2" ]]; }
achieved() { [[ $(chaosctl -o json show "$id" | jq -r ".achieved.$1 // \"\"") =~ $2 ]]; }
holds() { (($(cat "$1") >= $2)); }
holds_not() { ! holds "$@"; }
used_percent() { df --output=pcent "$1" | tail -n 1 | tr -dc '0-9'; }
uses() { (($(used_percent "$1") >= $2)); }
uses_not() { ! uses "$@"; }
soft_limit() { awk '/^Max open files/ { print $4 }' "/proc/$1/limits"; }
limited_to() { [[ $(soft_limit "$1") == "$2" ]]; }

# starts KIND ARGS...: a scenario; its id is $id.
starts() {
  local answer
  answer=$(as alice chaosctl -o json start "$@" --duration 5m) || fail "it did not start: chaosctl start $*"
  id=$(jq -r .id <<<"$answer")
  printf 'ok: %s\n' "$*"
}
stops() { check as alice chaosctl stop "$id"; }

settings=/etc/chaosd/chaosd.yaml
kept=/tmp/story-settings.yaml

clean_up() {
  cp "$kept" "$settings"
  systemctl reload chaosd.service || true
  systemctl stop victim.service forked.service neighbour.service box.service story.slice 2>/dev/null || true
  rm -rf "$units"/{victim,forked,neighbour,box}.service "$run"
  systemctl daemon-reload
}

cp "$settings" "$kept"
trap clean_up EXIT
mkdir -p "$run"
for name in victim neighbour; do
  service $name <<'END'
ExecStart=/bin/bash -c 'while :; do sleep 0.1 & wait; done'
Restart=always
RestartSec=200ms
END
done
# Its main process is not its oldest one.
service forked <<'END'
Type=forking
PIDFile=/run/story-components/forked.pid
ExecStart=/bin/bash -c '(sleep 10001 & sleep 1; sleep 10002 & echo $$! >/run/story-components/forked.pid) </dev/null >/dev/null 2>&1'
END
# A manager of cgroups of its own.
service box <<'END'
Delegate=yes
ExecStart=/bin/bash -c 'mkdir /sys/fs/cgroup/story.slice/box.service/inner && echo 0 >/sys/fs/cgroup/story.slice/box.service/inner/cgroup.procs && exec sleep 10003'
END
systemctl daemon-reload
check systemctl start victim.service neighbour.service forked.service box.service
within 10 test -d "$box/inner"
# The story's units are a large part of a small machine.
sed -i -E 's/^( *blast_radius_limit:).*/\1 1/' "$settings"
check systemctl reload chaosd.service
check answers
remember_state

step 'a restart loop hits the main process of the moment, which systemd starts again'
before=$(restarts_of victim.service)
starts component_failure --target unit=victim.service -p failure_type=crash -p every=2s
within 20 restarted victim.service $((before + 3))
within 10 achieved came_back '^[1-9]'
within 10 achieved back_after 'max'
stops
main=$(main_of victim.service)
sleep 3 # longer than a turn of the loop
[[ $(main_of victim.service) == "$main" ]] || fail 'it is struck after the end'
check in_cgroup "$victim" "$main"

step 'the main process is the one that systemd names'
oldest=$(pgrep -o -f '^sleep 10001')
main=$(main_of forked.service)
[[ $main != "$oldest" && $main == $(pgrep -o -f '^sleep 10002') ]] || fail "systemd names $main"
starts component_failure --target unit=forked.service -p failure_type=crash
within 10 achieved died '1 of 1'
[[ ! -e /proc/$main ]] || fail 'its main process lives'
stops

step 'a unit hangs, and nobody else'
starts component_failure --target unit=victim.service -p failure_type=hang
within 5 frozen "$victim"
check thawed "$neighbour"
check systemctl is-active victim.service
stops
within 5 thawed "$victim"

step 'a delegated cgroup hangs with what is below it'
starts component_failure --target unit=box.service -p failure_type=hang
within 5 frozen "$box/inner"
stops
within 5 thawed "$box/inner"

step 'a unit and a slice run short'
unit_before=$(limit_files "$victim")
slice_before=$(limit_files "$slice")
device=$(findmnt -n -o SOURCE /)
starts resource_exhaustion --target unit=victim.service -p resource=cpu -p mode=throttle -p level=90%
ids=("$id")
starts resource_exhaustion --target unit=victim.service -p resource=pids -p mode=limit -p level=50%
ids+=("$id")
starts resource_exhaustion --target "cgroup=/story.slice" -p resource=memory -p mode=limit -p level=50%
ids+=("$id")
if limits_are "$victim" "$unit_before"; then fail 'the unit has all that it had'; fi
if limits_are "$slice" "$slice_before"; then fail 'the slice has all that it had'; fi
check systemctl is-active victim.service
for id in "${ids[@]}"; do stops; done
within 5 limits_are "$victim" "$unit_before"
within 5 limits_are "$slice" "$slice_before"
starts resource_exhaustion --target unit=victim.service -p resource=disk -p mode=throttle -p path="$device" -p rate=1MBps
if limits_are "$victim" "$unit_before"; then fail 'the disk is as fast as it was'; fi
stops
within 5 limits_are "$victim" "$unit_before"

step 'a unit may open few files'
main=$(main_of victim.service)
files_before=$(soft_limit "$main")
starts resource_exhaustion --target unit=victim.service -p resource=fds -p mode=limit -p level=50%
if limited_to "$main" "$files_before"; then fail 'it may open as many files as before'; fi
stops
within 5 limited_to "$main" "$files_before"

step 'memory of a unit and room on the disk are taken, and given back'
check systemctl set-property --runtime box.service MemoryMax=200M
starts resource_exhaustion --target unit=box.service -p resource=memory -p mode=pressure -p level=60%
within 20 holds "$box/memory.current" 110000000
check systemctl is-active box.service
stops
within 5 holds_not "$box/memory.current" 60000000
used=$(used_percent /var)
starts resource_exhaustion --target host=localhost -p resource=disk -p mode=fill -p path=/var -p "level=$((used + 4))%"
within 20 uses /var $((used + 3))
stops
within 5 uses_not /var $((used + 3))

step 'what somebody else sets meanwhile stays theirs'
starts resource_exhaustion --target unit=victim.service -p resource=cpu -p mode=throttle -p level=90%
check systemctl set-property --runtime victim.service CPUQuota=37%
stops
check reads "$victim/cpu.max" '37000 100000'
check systemctl set-property --runtime victim.service CPUQuota=
within 5 limits_are "$victim" "$unit_before"

step 'chaosd is killed: all goes on, all is as it was'
starts component_failure --target unit=box.service -p failure_type=hang
starts resource_exhaustion --target unit=victim.service -p resource=cpu -p mode=throttle -p level=90%
starts resource_exhaustion --target unit=neighbour.service -p resource=fds -p mode=limit -p level=50%
within 5 frozen "$box/inner"
pid=$(main_pid)
check systemctl kill --signal KILL --kill-who main chaosd.service
within 2 thawed "$box/inner"
within 2 limits_are "$victim" "$unit_before"
within 2 limited_to "$(main_of neighbour.service)" "$files_before"
within 10 has_new_pid "$pid"
within 10 answers

step 'the whole unit is killed, guardian and all: so it is'
starts component_failure --target unit=box.service -p failure_type=hang
within 5 frozen "$box/inner"
pid=$(main_pid)
check systemctl kill --signal KILL --kill-who all chaosd.service
within 10 thawed "$box/inner"
within 10 has_new_pid "$pid"
within 10 answers
systemctl revert victim.service 2>/dev/null || true
check chaosctl residue
