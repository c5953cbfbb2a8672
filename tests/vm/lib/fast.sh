# shellcheck shell=bash
# The fast guest: what ctest runs under a label ("kernel" and "guest" unless asked for another), on another kernel. Commands, names
# and limits are ctest's.

fast_limit_s=${CHAOS_VM_LIMIT:-1200}

# What those tests start, beyond busybox.
fast_programs=(
  sh bash ip tc ss nstat ping arping nft iptables ethtool iperf3 bpftool nsenter unshare setpriv ps sysctl
  mount umount timeout sleep sshd ssh ssh-keygen modprobe prlimit env sqlite3 jq strace
  mkfs.ext4 losetup truncate redis-server redis-cli
)

# What they may make the kernel ask for.
fast_modules=(
  virtio_pci virtio_blk
  veth bridge tun ifb dummy macvlan ipvlan 8021q vxlan ip_gre wireguard bonding
  sch_ingress sch_netem sch_fq sch_fq_codel sch_htb sch_tbf sch_prio sch_red cls_bpf cls_u32 cls_matchall cls_flower
  act_bpf act_mirred act_gact em_u32
  tcp_bbr tcp_diag udp_diag inet_diag raw_diag unix_diag af_packet_diag netlink_diag
  nf_tables nft_compat nft_ct nft_counter nft_limit nft_log nft_reject_inet nft_chain_nat nft_fib_inet nft_numgen
  nf_conntrack nf_nat ip_tables iptable_filter iptable_nat ip6_tables ip6table_filter x_tables xt_cgroup xt_conntrack
  loop ext4 crc32c_generic fuse overlay dm_mod dm_delay dm_flakey
)

# Tests that attach where the kernel patches itself while every process passes there. They get a guest whose CPUs take
# turns on one thread of the emulator, and all others one with a thread for each CPU, whose time is steadier: see README.md.
fast_by_turns='^(.*/)?(Syscall|Latency|Watch)'

# run_fast KERNEL FILTER SHELL: sets verdict to false unless all went well.
run_fast() {
  local kernel=$1 filter=$2 shell=$3 results=$work/fast-$1 began=$SECONDS threads
  rm -rf "$results"
  mkdir -p "$results"
  # Benchmarks attach programs to calls that go on all the time: see README.md about code that a second CPU runs.
  if [[ $label == measure ]]; then
    CHAOS_VM_CPUS=1
    CHAOS_VM_THREADS=single
    vm_clock=(-icount shift=1)
  fi
  fast_jobs "$filter" "$results"
  fast_initramfs "$results"
  say "fast, kernel $kernel: $kernel_release, $(wc -l <"$results/jobs") tests"
  if $shell; then
    vm_shell "$scratch/initramfs" ''
    return
  fi
  mkdir "$results/guest"
  for threads in multi single; do
    [[ -s $results/jobs.$threads ]] || continue
    vm_threads=${CHAOS_VM_THREADS:-$threads}
    vm_run "$fast_limit_s" "$scratch/initramfs" "$results/console-$threads.log" "$results/part" "chaos.jobs=$threads" ||
      verdict=false
    if [[ -e $results/part/dmesg ]]; then mv "$results/part/dmesg" "$results/part/dmesg-$threads"; fi
    cp -r "$results/part/." "$results/guest/"
    rm -r "$results/part"
  done
  results_merge "$results" "$results/names" fast "$kernel" $((SECONDS - began))
  results_show "$results"
  # What benchmarks found is the point of running them.
  if [[ $label == measure ]]; then find "$results/guest" -name '*.log' -exec cat {} +; fi
  results_good "$results" || verdict=false
}

# fast_jobs FILTER DIRECTORY: the list for run-jobs.sh and the names that go with its numbers.
fast_jobs() {
  local filter=$1 directory=$2
  [[ -e $build/CTestTestfile.cmake ]] || die "nothing is built in $build; as root: ./setup.sh build"
  ctest --test-dir "$build" --show-only=json-v1 -L "^($label)\$" -R "$filter" >"$directory/ctest.json"
  jq -r '.tests | to_entries[] | [.key, .value.name] | @tsv' "$directory/ctest.json" >"$directory/names"
  [[ -s $directory/names ]] || die "no test of label $label matches $filter"
  jq -r --arg scale "$time_scale" --arg full "${CHAOS_TEST_FULL:-0}" '.tests | to_entries[] | .value as $test
    | ($test.properties // [] | map({key: .name, value}) | from_entries) as $properties
    | [.key, (($properties.TIMEOUT // 120) * ($scale | tonumber) | floor),
       ("cd /tmp; CHAOS_REQUIRE_KERNEL=1 CHAOS_TIME_SCALE=\($scale) CHAOS_TEST_FULL=\($full) GTEST_OUTPUT=json:$JOB_JSON "
        + ($test.command | @sh))]
    | join("\t")' "$directory/ctest.json" >"$directory/jobs"
  awk -F '\t' -v by_turns="$fast_by_turns" -v multi="$directory/jobs.multi" -v single="$directory/jobs.single" '
    FNR == NR { turns[$1] = $2 ~ by_turns; next }
    { print >(turns[$1] ? single : multi) }' "$directory/names" "$directory/jobs"
}

fast_initramfs() {
  local directory=$1 binary
  tree_new
  tree_program "${fast_programs[@]}"
  # The binaries lie where they were built: tests have that path compiled in.
  while IFS= read -r binary; do
    tree_file "$binary"
    strip --strip-debug "$tree$binary"
  done < <(jq -r '.tests[].command[0]' "$directory/ctest.json" | sort -u; printf '%s\n' "$build"/{bin/chaosd,bin/chaosctl,libexec/chaosd/chaosctl-main})
  printf 'root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534::/:/bin/sh\n' \
    >"$tree/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
  printf 'passwd: files\ngroup: files\nhosts: files\n' >"$tree/etc/nsswitch.conf"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
  cp /etc/protocols /etc/services "$tree/etc/" 2>/dev/null || true
  mkdir -p "$tree/etc/ssh" "$tree/usr/lib/tc"
  cp -r /usr/lib/tc/. "$tree/usr/lib/tc/" 2>/dev/null || true
  tree_modules "${fast_modules[@]}"
  mkdir -p "$tree/opt/guest"
  cp "$vm_dir"/guest/*.sh "$tree/opt/guest/"
  cp "$directory"/jobs* "$tree/opt/"
  tree_pack "$scratch/initramfs" "$vm_dir/guest/init-fast.sh"
}
