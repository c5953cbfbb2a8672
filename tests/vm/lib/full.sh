# shellcheck shell=bash
# The full guest: the stories of full/, in their order, on one installation of the package.

full_limit_s=${CHAOS_VM_LIMIT:-900}
story_limit_s=300

# run_full KERNEL FILTER SHELL: sets verdict to false unless all went well.
run_full() {
  local kernel=$1 filter=$2 shell=$3 results=$work/full-$1 began=$SECONDS deb disks
  rm -rf "$results"
  mkdir -p "$results"
  deb=$(package_to_test)
  full_payload "$filter" "$results" "$deb"
  rootfs_image "$deb"
  full_initramfs
  disks=(
    -drive "file=$rootfs,format=raw,if=none,id=root,snapshot=on,cache=unsafe"
    -device 'virtio-blk-pci,drive=root,serial=root'
    -drive "file=$scratch/payload.tar,format=raw,if=none,id=payload,readonly=on"
    -device 'virtio-blk-pci,drive=payload,serial=payload'
    -device virtio-rng-pci
  )
  vm_reboot=()
  say "full, kernel $kernel: $kernel_release, ${deb##*/}, $(wc -l <"$results/names") stories"
  if $shell; then
    vm_shell "$scratch/initramfs" systemd.show_status=0 "${disks[@]}"
    return
  fi
  vm_run "$full_limit_s" "$scratch/initramfs" "$results/console.log" "$results/guest" systemd.show_status=0 \
    "${disks[@]}" || verdict=false
  results_merge "$results" "$results/names" full "$kernel" $((SECONDS - began))
  results_show "$results"
  results_good "$results" || verdict=false
}

# Prints the .deb: the one that was named, or what build/ makes now.
package_to_test() {
  local deb=${CHAOS_VM_DEB:-} log=$scratch/cpack.log
  if [[ -z $deb ]]; then
    [[ -e $build/CPackConfig.cmake ]] || die "no package: name one in CHAOS_VM_DEB, or build one that cpack can pack"
    rm -rf "$work/package"
    if ! (cd "$build" && cpack -G DEB -B "$work/package") >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      die 'cpack failed'
    fi
    deb=$(find "$work/package" -maxdepth 1 -name 'chaosd_*.deb')
  fi
  [[ -r $deb ]] || die "no package: ${deb:-cpack made none}"
  printf '%s\n' "$deb"
}

# The payload is a part of the source tree with the packages beside it; jobs are its stories, names theirs.
full_payload() {
  local filter=$1 directory=$2 deb=$3 payload=$scratch/payload story name number=0
  rm -rf "$payload"
  mkdir -p "$payload/source/tests/system" "$payload/packages"
  cp -r "$root/README.md" "$root/config" "$payload/source/"
  cp "$root/tests/system/"{host_state,partition_services_test}.sh "$payload/source/tests/system/"
  cp -r "$vm_dir/full" "$vm_dir/guest" "$payload/"
  cp "$deb" "$payload/packages/chaosd.deb"
  repack_as_newer "$deb" "$payload/packages/chaosd-newer.deb"
  for story in "$vm_dir"/full/[0-9]*.sh; do
    name=$(basename "$story" .sh)
    # Every other story stands on the installation.
    [[ $name =~ $filter || $name == 01-* ]] || continue
    printf '%d\t%s\n' "$number" "$name" >>"$directory/names"
    printf '%d\t%d\tCHAOS_TIME_SCALE=%s bash /opt/work/full/%s.sh\n' "$number" "$story_limit_s" "$time_scale" "$name" \
      >>"$payload/jobs"
    number=$((number + 1))
  done
  tar -C "$payload" -cf "$scratch/payload.tar" .
  rm -rf "$payload"
}

# The same files by a higher version: what an upgrade is to dpkg.
repack_as_newer() {
  local tree=$scratch/newer
  rm -rf "$tree"
  dpkg-deb -R "$1" "$tree"
  sed -i -E 's/^Version: .*/&+newer/' "$tree/DEBIAN/control"
  dpkg-deb --root-owner-group -Znone -b "$tree" "$2" >/dev/null
  rm -rf "$tree"
}

full_initramfs() {
  tree_new
  tree_modules "${fast_modules[@]}" ext4 virtio_rng autofs4 efivarfs
  mkdir -p "$tree/opt/guest"
  cp "$vm_dir/guest/disks.sh" "$tree/opt/guest/"
  tree_pack "$scratch/initramfs" "$vm_dir/guest/init-full.sh"
}
