# shellcheck shell=bash
# The root file system of the full guest: Debian 12 with systemd, without any kernel, cached by what is in it.

rootfs_suite=bookworm
# What the stories look with, beside what the package asks for.
rootfs_packages=(
  systemd systemd-sysv dbus udev kmod iproute2 iputils-ping procps util-linux bpftool nftables curl jq
  podman crun conmon busybox-static etcd-server etcd-client redis-server redis-tools bc bpftrace postgresql
)

# rootfs_image DEB: sets rootfs to an image that has all that DEB depends on.
rootfs_image() {
  local deb=$1 packages key
  [[ $(id -u) == 0 ]] || die '--full needs root: it makes a root file system'
  need_command mmdebstrap
  packages=$({ printf '%s\n' "${rootfs_packages[@]}" && dependencies_of "$deb"; } | sort -u)
  key=$({
    cat "$vm_dir/lib/rootfs.sh"
    # shellcheck disable=SC2086 # a list of names
    apt-cache policy $packages | grep -E '^[^ ]|Candidate:'
  } | sha256sum | cut -c1-16)
  rootfs=$cache/root-$key.ext4
  if [[ ! -e $rootfs ]]; then
    say "root image: making one of $(wc -l <<<"$packages") packages (a minute)"
    make_rootfs "$packages" "$scratch/root.ext4" >"$work/rootfs.log" 2>&1 || {
      tail -n 20 "$work/rootfs.log" >&2
      die "the root image cannot be made (whole log: $work/rootfs.log)"
    }
    rm -f "$cache"/root-*.ext4
    mv "$scratch/root.ext4" "$rootfs"
  fi
}

# Names only: versions are for the guest's apt to judge.
dependencies_of() {
  dpkg-deb -f "$1" Pre-Depends Depends | sed -E 's/^(Pre-)?Depends: *//' | tr ',' '\n' |
    sed -E 's/\|.*//; s/\(.*//; s/:any//; s/[[:space:]]//g; /^$/d'
}

make_rootfs() {
  local packages=$1 image=$2 directory=$scratch/root sources=()
  mapfile -t sources < <(find /etc/apt -maxdepth 2 \( -path '/etc/apt/sources.list.d/*.sources' \
    -o -path '/etc/apt/sources.list.d/*.list' -o -path /etc/apt/sources.list \) -type f -size +0)
  mmdebstrap --mode=root --variant=apt --include="${packages//$'\n'/,}" \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt=force-unsafe-io \
    "$rootfs_suite" "$directory" "${sources[@]}" &&
    configure_rootfs "$directory" && truncate -s 2G "$image" &&
    mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=1 -d "$directory" -L root "$image" && rm -rf "$directory"
}

# What a host has that somebody set up, and none of what would run beside the stories.
configure_rootfs() {
  local directory=$1 unit units=$1/etc/systemd/system
  # The options above are for making the image; in the guest dpkg does what it does on a host.
  rm -f "$directory/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
  echo chaos-vm >"$directory/etc/hostname"
  printf '127.0.0.1 localhost chaos-vm\n::1 localhost\n' >"$directory/etc/hosts"
  printf '/dev/disk/by-label/root / ext4 defaults,noatime 0 0\n' >"$directory/etc/fstab"
  echo 0123456789abcdef0123456789abcdef >"$directory/etc/machine-id"
  for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer getty.target systemd-networkd-wait-online.service etcd.service redis-server.service postgresql.service; do
    ln -sf /dev/null "$units/$unit"
  done
  ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
}
