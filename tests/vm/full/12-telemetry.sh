#!/usr/bin/env bash
# What eBPF telemetry counts, series by series, beside bpftrace, which watches the kernel by programs of its own: drops by
# reason, what TCP sends again, resets, the histogram of round-trip times, kills for want of memory.
# shellcheck disable=SC2016 # perl's names
. "$(dirname "$0")/lib.sh"

run=/run/story-telemetry
four=10.99.0.2
six=fd99::2
tcp_port=7000
closed_port=7001
udp_port=6000

# Not for what is ended by its number: that is a shell's.
on() { ip netns exec "$@"; }
alive() { grep -q alive "$run/bpftrace.out"; }

# Begins before chaosd looks and ends after it: what happens in between both have to count.
start_bpftrace() {
  cat >"$run/watch.bt" <<'END'
tracepoint:skb:kfree_skb { @drops[args->reason] = count(); }
tracepoint:tcp:tcp_retransmit_skb { @sent_again = count(); }
tracepoint:tcp:tcp_retransmit_synack { @sent_again_synack = count(); }
tracepoint:tcp:tcp_send_reset { @resets_sent = count(); }
tracepoint:tcp:tcp_receive_reset { @resets_received = count(); }
kprobe:tcp_rcv_established { @rtt[((struct tcp_sock *)arg0)->srtt_us >> 3] = count(); }
tracepoint:oom:mark_victim { @oom_kills = count(); }
interval:s:1 { printf("alive\n"); }
END
  # A probe goes from many CPUs to one map: room for all that may come.
  BPFTRACE_MAP_KEYS_MAX=65536 BPFTRACE_STRLEN=16 bpftrace -B line "$run/watch.bt" >"$run/bpftrace.out" 2>&1 &
  bpftrace=$!
  within 60 alive
}
end_bpftrace() {
  kill -INT "$bpftrace"
  wait "$bpftrace" || true
}

# Both ends in perl, which every Debian has.
start_server() {
  cat >"$run/serve.pl" <<'END'
use IO::Socket::IP;
my $port = shift;
my $s = IO::Socket::IP->new(LocalHost => "::", LocalPort => $port, Listen => 16, ReuseAddr => 1, V6Only => 0) or die $!;
$SIG{CHLD} = "IGNORE";
while (my $c = $s->accept) {
  next if fork;
  while (sysread($c, my $data, 65536)) { syswrite($c, substr($data, 0, 1)) or last }
  exit;
}
END
  ip netns exec right perl "$run/serve.pl" "$tcp_port" &
  server=$!
  within 10 listens
}
listens() { on right ss -Hltn "sport = :$tcp_port" | grep -q LISTEN; }
# talk ADDRESS TIMES BYTES reset|close: so often so much there and a byte back.
talk() {
  on left perl -MIO::Socket::IP -MSocket -e '
    my ($host, $port, $times, $bytes, $end) = @ARGV;
    my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port) or die $!;
    for (1 .. $times) { syswrite($s, "x" x $bytes) or die $!; sysread($s, my $answer, 65536) or die $! }
    setsockopt($s, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0)) if $end eq "reset";
    close $s' "$1" "$tcp_port" "$2" "$3" "$4"
}
# A socket that has room for little and is not read.
flood() {
  on right perl -MIO::Socket::IP -MSocket -e '
    my $s = IO::Socket::IP->new(LocalHost => "::", LocalPort => $ARGV[0], Proto => "udp", V6Only => 0) or die $!;
    setsockopt($s, SOL_SOCKET, SO_RCVBUF, 4096);
    print STDOUT "ready\n"; close STDOUT; <STDIN>' "$udp_port" <"$run/flood.in" >"$run/flood.out" &
  local receiver=$! address port
  exec 4>"$run/flood.in"
  within 10 grep -q ready "$run/flood.out"
  for address in $four $six; do
    for port in $udp_port $closed_port; do
      # What answers to one is an error of the next.
      on left perl -MIO::Socket::IP -e '
        my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => $ARGV[1], Proto => "udp") or die $!;
        send($s, "x" x 1000, 0) for 1 .. 100' "$address" "$port"
    done
  done
  within 10 stands_still
  exec 4>&-
  wait "$receiver"
}
of() { on "$1" nstat -asz "$2" | awk -v name="$2" '$1 == name { print $2 }'; }
stands_still() {
  local before
  before="$(of right UdpRcvbufErrors) $(of right Udp6RcvbufErrors)"
  sleep 0.3 # what it has to stand still for
  [[ "$(of right UdpRcvbufErrors) $(of right Udp6RcvbufErrors)" == "$before" ]]
}
no_connections() {
  [[ -z $(on left ss -Htn state connected exclude time-wait; on right ss -Htn state connected exclude time-wait) ]]
}
kills() { awk '$1 == "oom_kill" { print $2 }' /proc/vmstat; }

clean_up() {
  kill "${watchers[@]}" "$bpftrace" "$server" 2>/dev/null || true
  remove_hosts
  rm -rf "$run"
}

# A round of samples of after now is in $run/series.json.
newer() {
  chaosctl -o json metrics chaosd_ >"$run/series.json" && [[ $(jq -r .time "$run/series.json") > $1 ]]
}
# series NAME [LABELS as a jq condition]: their sum.
series() {
  jq --arg name "$1" "[.metrics[] | select(.name == \$name) | select(.labels | .scope == \"host\" and (${2:-true})) |
    .value] | add // 0" "$run/series.json"
}
# seen MAP [KEY]: what bpftrace counted.
seen() {
  awk -v want="@$1${2:+[$2]}:" '$1 == want { print $2; found = 1 } END { if (!found) print 0 }' "$run/bpftrace.out"
}
# same WHAT CHAOSD OUTSIDE LEAST: all of them are looked at before the first that is wrong ends the story.
wrong=()
same() {
  printf '%-40s chaosd %8s, outside %8s\n' "$1" "$2" "$3"
  (($2 == $3)) || wrong+=("$1: chaosd says $2, and others $3")
  (($3 >= $4)) || wrong+=("$1: only $3, so nothing is shown")
}

watchers=()
bpftrace=''
server=''
make_hosts
trap clean_up EXIT
ip -n left addr add fd99::1/64 dev eth0
ip -n right addr add $six/64 dev eth0
check answers
remember_state
mkdir -p "$run"
mkfifo "$run/flood.in"

step 'bpftrace watches, then chaosd'
start_bpftrace
grep -E 'ERROR|WARN' "$run/bpftrace.out" && fail 'bpftrace does not watch all of it'
for what in drops tcp; do
  chaosctl -o json "$what" --watch >"$run/$what.out" 2>&1 &
  watchers+=("$!")
  within 20 test -s "$run/$what.out"
  jq -e -s '.[0].seconds' "$run/$what.out" >/dev/null || fail "chaosctl $what: $(cat "$run/$what.out")"
done
kills_before=$(kills)
segments_before=$(($(of left TcpRetransSegs) + $(of right TcpRetransSegs)))
full_before=$(($(of right UdpRcvbufErrors) + $(of right Udp6RcvbufErrors)))

step 'connections of both families: short trips, long ones, lossy ones, and such as are reset'
start_server
for address in $four $six; do talk "$address" 50 100 close; done
id=$(as alice chaosctl -o json start latency_injection --target netns=left --target direction=egress \
  --target protocol=tcp -p delay=20ms --duration 5m | jq -r .id)
for address in $four $six; do talk "$address" 20 100 close; done
check as alice chaosctl stop "$id"
id=$(as alice chaosctl -o json start packet_loss --target netns=left --target direction=egress \
  --target protocol=tcp -p probability=30% --duration 5m | jq -r .id)
for address in $four $six; do talk "$address" 60 1000 close; done
check as alice chaosctl stop "$id"
injected=$(chaosctl -o json show "$id" | jq .counters.injected)
chaosctl -o json show "$id" | jq -c .counters
for address in $four $six; do
  for _ in 1 2 3; do talk "$address" 2 100 reset; done
done

step 'datagrams for which nobody has room, or which nobody wants; a process that is killed for want of memory'
flood
# Collected, or the unit that failed stays.
systemd-run --quiet --wait --collect -p MemoryMax=30M -p MemorySwapMax=0 \
  sh -c 'head -c 200000000 /dev/zero | tail -n 1' >/dev/null 2>&1 || true

step 'each series is what others count'
within 30 no_connections
within 20 newer "$(date -u +%FT%T.999Z)"
full=$(($(of right UdpRcvbufErrors) + $(of right Udp6RcvbufErrors) - full_before))
segments=$(($(of left TcpRetransSegs) + $(of right TcpRetransSegs) - segments_before))
killed=$(($(kills) - kills_before))
end_bpftrace

format=/sys/kernel/tracing/events/skb/kfree_skb/format
[[ -e $format ]] || format=/sys/kernel/debug/tracing/events/skb/kfree_skb/format
number_of() { grep -oE "\{ *(0x)?[0-9a-f]+, *\"$1\" *\}" "$format" | grep -oE '(0x)?[0-9a-f]+' | head -n 1; }
reason() { seen drops "$(($(number_of "$1")))"; }
of_reason() { series chaosd_skb_drops_total ".reason == \"$1\" and (${2:-true})"; }
same 'drops, SOCKET_RCVBUFF' "$(of_reason SOCKET_RCVBUFF)" "$(reason SOCKET_RCVBUFF)" 100
same 'drops, SOCKET_RCVBUFF, by nstat' "$(of_reason SOCKET_RCVBUFF '.origin == "natural"')" "$full" 100
same 'drops, NO_SOCKET' "$(of_reason NO_SOCKET)" "$(reason NO_SOCKET)" 2
# At egress it lets the sender believe that they were sent, for which the kernel has no reason of its own.
same 'drops by the fault, by the fault' "$(series chaosd_skb_drops_total '.origin == "injected"')" "$injected" 5
# Of all other reasons bpftrace has seen those of before and after as well.
while read -r name count; do
  (($(reason "$name") >= count)) || wrong+=("$name: chaosd says $count, bpftrace $(reason "$name")")
done < <(jq -r '[.metrics[] | select(.name == "chaosd_skb_drops_total" and .labels.scope == "host")] |
  group_by(.labels.reason)[] | "\(.[0].labels.reason) \(map(.value) | add)"' "$run/series.json")

same 'sent again' "$(series chaosd_tcp_retransmits_total)" "$(($(seen sent_again) + $(seen sent_again_synack)))" 5
same 'segments in them, by nstat' "$(series chaosd_tcp_retransmitted_segments_total)" "$segments" 5
same 'resets sent' "$(series chaosd_tcp_resets_total '.direction == "sent"')" "$(seen resets_sent)" 6
same 'resets received' "$(series chaosd_tcp_resets_total '.direction == "received"')" "$(seen resets_received)" 6

# below US: of bpftrace's, at most so many microseconds; 0 is none yet.
below() {
  sed -nE 's/^@rtt\[([0-9]+)\]: ([0-9]+)$/\1 \2/p' "$run/bpftrace.out" |
    awk -v most="$1" '$1 > 0 && $1 <= most { sum += $2 } END { print sum + 0 }'
}
total=$(below 4294967295)
same 'round-trip times' "$(series chaosd_tcp_rtt_seconds_count)" "$total" 200
same 'their sum, µs' "$(series chaosd_tcp_rtt_seconds_sum | jq '. * 1e6 | round')" \
  "$(sed -nE 's/^@rtt\[([0-9]+)\]: ([0-9]+)$/\1 \2/p' "$run/bpftrace.out" | awk '{ sum += $1 * $2 } END { print sum }')" 1
buckets=0
while read -r bound count; do
  outside=$(below "$bound")
  same "round trips of at most $bound µs" "$count" "$outside" 0
  if ((outside > 0 && outside < total)); then buckets=$((buckets + 1)); fi
done < <(jq -r '.metrics[] | select(.name == "chaosd_tcp_rtt_seconds_bucket" and .labels.scope == "host" and
  .labels.le != "+Inf") | "\(.labels.le | tonumber * 1e6 | round) \(.value)"' "$run/series.json")
((buckets >= 2)) || wrong+=('all round trips are in one bucket')

same 'killed for want of memory' "$(series chaosd_oom_kills_total)" "$(seen oom_kills)" 1
same 'killed for want of memory, by vmstat' "$(series chaosd_oom_kills_total)" "$killed" 1

((${#wrong[@]} == 0)) || fail "$(printf '%s; ' "${wrong[@]}")"

step 'nobody asks any more, and nothing is left'
kill -KILL "${watchers[@]}" "$server"
wait "${watchers[@]}" "$server" || true
rm -rf "$run"
no_residue
