#!/usr/bin/env bash
# PostgreSQL as a victim of its system calls: slow syncs make its commits that slow, by its own statistics; a full disk and
# a broken one are told in its log exactly as often as chaosd counts them; and what it has acknowledged is there after
# its recovery. Needs a kernel that lets programs decide any call.
. "$(dirname "$0")/lib.sh"

version=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n')
unit=postgresql@$version-main.service
data=/var/lib/postgresql/$version/main
log=/var/log/postgresql/postgresql-$version-main.log
drop_in=/run/systemd/system/$unit.d
settings=/etc/chaosd/chaosd.yaml
kept=/tmp/story-settings.yaml
ledger=/tmp/story-ledger

sql() { runuser -u postgres -- psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
lives() { timeout 60 runuser -u postgres -- psql -qAtX -c 'select 1'; }
ends_alone() { ! is_active "$unit" && ! pgrep -x postgres; }

check answers
if ! chaosctl plan syscall_latency --target "pid=$$" -p syscalls=fsync -p delay=50ms >/tmp/story-plan 2>&1 &&
  grep -q 'fsync cannot be made to wait here' /tmp/story-plan; then
  cat /tmp/story-plan
  exit 77
fi

clean_up() {
  cp "$kept" "$settings"
  systemctl reload chaosd.service || true
  timeout 60 systemctl stop "$unit" || true
  rm -rf "$drop_in" "/etc/postgresql/$version/main/conf.d/story.conf"
  systemctl daemon-reload
}
cp "$settings" "$kept"
trap clean_up EXIT
sed -i -E 's/^( *blast_radius_limit:).*/\1 1/' "$settings"
check systemctl reload chaosd.service

step 'the cluster starts'
mkdir -p "$drop_in"
# It aborts when a sync or a write of its log fails.
printf '[Service]\nLimitCORE=0\n' >"$drop_in/story.conf"
cat >"/etc/postgresql/$version/main/conf.d/story.conf" <<'END_OF_SETTINGS'
track_wal_io_timing = on
autovacuum = off
checkpoint_timeout = 1h
lc_messages = C
END_OF_SETTINGS
systemctl daemon-reload
check systemctl start "$unit"
within 30 lives
sql -c 'create table timed (n int); create table told (n int, filler text)'

# starts KIND ARGS...: a scenario; its id is $id.
starts() {
  local kind=$1 answer
  shift
  answer=$(chaosctl -o json start "$kind" --target "unit=$unit" "$@" --duration 10m) || fail "$kind did not start: $answer"
  id=$(jq -r .id <<<"$answer")
  printf 'ok: %s %s\n' "$kind" "$*"
}
counted() { chaosctl -o json show "$id" | jq ".counters.$1"; }

# syncs COUNT: so many commits, one after another. Sets syncs to how many syncs of the log they took, and mean to the
# mean time of one in ms: what pg_stat_wal has when it has all of them.
enough_syncs() { (($(sql -c 'select wal_sync from pg_stat_wal') >= wanted)); }
syncs() {
  local i
  wanted=$1
  sql -c "select pg_stat_reset_shared('wal')" >/dev/null
  { for ((i = 0; i < wanted; i++)); do echo "insert into timed values ($i);"; done; } | sql
  within 10 enough_syncs >/dev/null
  IFS='|' read -r syncs mean < <(sql -c 'select wal_sync, round((wal_sync_time / wal_sync)::numeric, 2) from pg_stat_wal')
}
is_over() { [[ $(bc <<<"$1 > $2") == 1 ]]; }

step 'syncs of 50 ms make commits that slow'
syncs 40
before=$mean
starts syscall_latency -p syscalls=fsync,fdatasync -p delay=50ms
syncs 40
during=$mean
taken=$syncs
check chaosctl stop "$id"
waited=$(counted injected)
syncs 40
echo "pg_stat_wal: a sync of the log took $before ms before, $during ms meanwhile, $mean ms afterwards"
echo "pg_stat_wal has $taken syncs meanwhile, chaosd $waited waits: $(chaosctl -o json show "$id" | jq -c .achieved)"
is_over "$during" 50 || fail "a sync took $during ms with 50 asked for"
if is_over "$during" "60 + $before"; then fail "a sync took $during ms with 50 asked for, $before before"; fi
if is_over "$mean" "20 + $before"; then fail "a sync takes $mean ms afterwards"; fi
((waited >= taken)) || fail 'there were syncs that did not wait'

# inserts COUNT: so many, each of them a transaction. What is acknowledged goes into the ledger.
next=1
inserts() {
  local i
  { for ((i = next; i < next + $1; i++)); do echo "insert into told values ($i, repeat('x', 2000)) returning n;"; done; } |
    timeout 120 runuser -u postgres -- psql -qAtX >>"$ledger" 2>/dev/null || true
  next=$((next + $1))
}

# It crashes and recovers by itself; when its recovery fails it is down, and somebody starts it again.
comes_up() {
  local tries
  for ((tries = 0; tries < 60; tries++)); do
    if lives >/dev/null 2>&1; then return; fi
    if ends_alone >/dev/null; then
      echo "it is down: $(grep -vE 'HINT|STATEMENT|DETAIL' "$log" | tail -n 1)"
      systemctl stop "$unit"
      timeout 120 systemctl start "$unit" || true
    fi
    sleep 0.5
  done
  tail -n 30 "$log"
  fail 'it does not come up'
}

# suffers LINES ARGS...: inserts and checkpoints under syscall_failure; then the log has exactly as many LINES as there
# were injected errors.
suffers() {
  local lines=$1 size told injected round
  shift
  size=$(stat -c %s "$log")
  starts syscall_failure "$@" -p probability=1%
  for ((round = 0; round < 6; round++)); do
    inserts 50
    comes_up
    sql -c checkpoint >/dev/null 2>&1 || true
    comes_up
  done
  check chaosctl stop "$id"
  injected=$(counted injected)
  tail -c "+$((size + 1))" "$log" >/tmp/story-log
  told=$(grep -cE -- "$lines" /tmp/story-log || true)
  echo "chaosd counts $injected of $(counted matched) calls, PostgreSQL's log tells of $told:"
  grep -E -- "$lines" /tmp/story-log | sed -E 's/^[^[]*\[[0-9]+\] *//; s/"[^"]*"/FILE/g; s/[0-9A-F]{24}/FILE/; s/[0-9]+/N/g' |
    sort | uniq -c
  ((injected == told)) || fail "chaosd has failed $injected calls, PostgreSQL tells of $told"
  ((injected > 0)) || fail 'no call failed'
}

rm -f "$ledger"
touch "$ledger"

step 'the disk is full for 1 % of its writes'
# The file of what a new session has to know of the catalogs: PostgreSQL does not say why it could not be written.
suffers 'No space left on device|could not write init file' \
  -p syscalls=write,writev,pwrite64,pwritev -p "path=$data" -p errno=ENOSPC

step 'the disk is broken: 1 % of its syncs fail'
suffers 'Input/output error' -p syscalls=fsync,fdatasync -p errno=EIO

step 'after the end and a crash it has all that it acknowledged, and no more trouble'
comes_up
size=$(stat -c %s "$log")
check timeout 60 runuser -u postgres -- pg_ctlcluster --skip-systemctl-redirect -m immediate "$version" main stop
check timeout 120 systemctl restart "$unit"
within 30 lives
inserts 20
[[ $(tail -n 1 "$ledger") == $((next - 1)) ]] || fail 'it does not take what it is given'
sql -c 'select n from told' | sort -u >/tmp/story-told
missing=$(sort -u "$ledger" | comm -23 - /tmp/story-told)
[[ -z $missing ]] || fail "acknowledged and lost: $missing"
echo "$((next - 1)) inserts, $(wc -l <"$ledger") acknowledged, $(wc -l </tmp/story-told) there"
(($(wc -l <"$ledger") >= 200)) || fail 'hardly anything was acknowledged'
if tail -c "+$((size + 1))" "$log" | grep -E 'PANIC|ERROR|No space|Input/output'; then fail 'there is still trouble'; fi
check systemctl stop "$unit"
check chaosctl residue
