# shellcheck shell=bash
# One virtual machine at a time, by software emulation, without a network. Disks are how work goes in and results come
# out: plain tar archives on block devices that the guest knows by serial number.

# Emulation is many times slower than the machine: this bounds a hang, it measures nothing.
boot_attempts=2

# multi: a thread of the emulator for each CPU of the guest; single: one for all.
vm_threads=${CHAOS_VM_THREADS:-multi}

# For benchmarks: time is what was executed, 2 ns an instruction, and not what the emulator took for it.
vm_clock=()

# A kernel that panics resets the machine, which ends it; a guest that may be started again tells one from the other.
vm_reboot=(-no-reboot)

# vm_run LIMIT INITRAMFS CONSOLE-LOG RESULTS COMMAND-LINE QEMU-ARGUMENTS...: runs the guest until it powers off. RESULTS
# becomes the directory of what it put on the disk "results". A boot that dies before the guest says that it has started
# gets one more try; nothing else does. Returns 1 when there is no complete result.
vm_run() {
  local limit=$1 initramfs=$2 console=$3 results=$4 line=$5 attempt status
  shift 5
  for ((attempt = 1; attempt <= boot_attempts; attempt++)); do
    rm -rf "$results" "$scratch/results.tar"
    mkdir -p "$results"
    truncate -s 64M "$scratch/results.tar"
    status=0
    qemu "$limit" "$initramfs" "$line" -serial "file:$console" "$@" </dev/null || status=$?
    tar -xf "$scratch/results.tar" -C "$results" 2>/dev/null || true
    rm -f "$scratch/results.tar"
    if [[ -e $results/started ]]; then
      [[ -e $results/done ]] && return 0
      case $status in
        124 | 137) shout "kernel $kernel_release: the guest did not end within $limit s" ;;
        *) shout "kernel $kernel_release: the guest died while it worked (qemu: $status)" ;;
      esac
      tail -n 20 "$console" >&2
      return 1
    fi
    shout "kernel $kernel_release: boot $attempt of $boot_attempts died before the work started (qemu: $status)"
    tail -n 20 "$console" >&2
  done
  return 1
}

# vm_shell INITRAMFS COMMAND-LINE QEMU-ARGUMENTS...: for a person at a terminal.
vm_shell() {
  local initramfs=$1 line=$2
  shift 2
  truncate -s 64M "$scratch/results.tar"
  say 'a shell in the guest follows; poweroff -f ends it, so does Ctrl-A x'
  qemu 0 "$initramfs" "$line chaos.shell" -serial mon:stdio "$@"
}

qemu() {
  local limit=$1 initramfs=$2 line=$3 status=0
  shift 3
  need_command qemu-system-x86_64
  timeout --foreground -k 5 "$limit" qemu-system-x86_64 -machine q35 -accel "tcg,thread=$vm_threads" -cpu max -smp "${CHAOS_VM_CPUS:-2}" \
    -m "${CHAOS_VM_MEMORY:-1536}" -nodefaults -no-user-config -display none -nic none "${vm_reboot[@]}" "${vm_clock[@]}" \
    -kernel "$kernel_image" -initrd "$initramfs" \
    -drive "file=$scratch/results.tar,format=raw,if=none,id=results,cache=unsafe" \
    -device virtio-blk-pci,drive=results,serial=results \
    -append "console=ttyS0 panic=-1 quiet lsm=landlock,lockdown,yama,integrity,bpf mitigations=off net.ifnames=0 $line" \
    "$@" <&0 &
  qemu_pid=$!
  wait "$qemu_pid" || status=$?
  qemu_pid=
  return "$status"
}
