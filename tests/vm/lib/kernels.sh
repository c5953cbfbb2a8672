# shellcheck shell=bash
# Kernels by the names that users give them. Package names are looked up, since they change with every security update;
# packages are downloaded by apt, which checks them, and unpacked, never installed.
#
# kernel_find NAME sets kernel_image (a bzImage), kernel_release (uname -r) and kernel_tree (a directory with
# lib/modules/RELEASE, empty for a kernel without modules). kernel_image stays empty, after a word about why, when the
# kernel cannot be had here and that is no failure.

kernel_names=(6.1 6.12 newest fault-injection)
kernel_image=
kernel_release=
kernel_tree=
fault_injection_file=bzImage-6.12-faultinjection

kernel_find() {
  kernel_image=
  case $1 in
    6.1) kernel_from_package "$(package_of_release machine)" machine 6.1 ;;
    6.12) kernel_from_package "$(package_by_name '^linux-image-6\.12\.[0-9]+\+deb12-cloud-amd64$')" machine 6.12 ;;
    newest) kernel_newest ;;
    fault-injection) kernel_fault_injection ;;
    *) die_usage "no such kernel: $1 (there are: ${kernel_names[*]})" ;;
  esac
}

machine_apt_get() { apt-get "$@"; }
machine_apt_cache() { apt-cache "$@"; }

# package_of_release APT: the package of the kernel for virtual machines, as that apt (machine or other) knows it.
package_of_release() {
  "$1"_apt_cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }'
}

package_by_name() { apt-cache pkgnames linux-image- | grep -E "$1" | sort -V | tail -n 1; }

# kernel_from_package PACKAGE APT NAME: unpacked in the cache. Without apt's help an older one from there will do.
kernel_from_package() {
  local package=$1 apt=$2 name=$3 tree
  if [[ -z $package ]]; then
    tree=$(cached_kernel "$name")
    [[ -n $tree ]] || die "apt knows no kernel $name; as root: apt-get update"
    say "kernel $name: apt knows none, so the cached ${tree##*/}"
    use_kernel_tree "$tree"
    return
  fi
  tree=$cache/kernels/$name/$package
  if [[ ! -e $tree/complete ]] && ! download_kernel "$package" "$apt" "$tree"; then
    local older
    older=$(cached_kernel "$name")
    [[ -n $older ]] || die "kernel $name: $package cannot be downloaded"
    shout "kernel $name: $package cannot be downloaded, so the cached ${older##*/}"
    tree=$older
  fi
  use_kernel_tree "$tree"
}

# The newest kernel NAME in the cache, if any.
cached_kernel() {
  find "$cache/kernels/$1" -mindepth 2 -maxdepth 2 -name complete -printf '%h\n' 2>/dev/null | sort -V | tail -n 1
}

download_kernel() {
  local package=$1 apt=$2 tree=$3 files=$scratch/kernel file
  say "kernel: downloading $package"
  rm -rf "$files" "$tree"
  mkdir -p "$files" "$tree"
  if ! apt_download "$package" "$apt" "$files" >"$scratch/download.log" 2>&1; then
    tail -n 5 "$scratch/download.log" >&2
    return 1
  fi
  for file in "$files"/*.deb; do
    dpkg-deb -x "$file" "$tree" || return 1
  done
  # Where modprobe looks, in any layout of the package.
  if [[ ! -d $tree/lib/modules ]]; then ln -s usr/lib "$tree/lib" || return 1; fi
  # Once here instead of in every guest.
  find "$tree/lib/modules/" -name '*.ko.xz' -print0 | xargs -0 -r -P 2 -n 50 xz -d || return 1
  depmod -b "$tree" "${package#linux-image-}" || return 1
  touch "$tree/complete"
  # One kernel per name is kept: the cache does not grow with every update.
  find "${tree%/*}" -mindepth 1 -maxdepth 1 ! -path "$tree" -exec rm -rf {} +
}

apt_download() {
  local package=$1 apt=$2 parts
  parts=$(parts_of "$package" "$apt")
  # shellcheck disable=SC2086 # a list of names
  (cd "$3" && "$apt"_apt_get -q download $parts) && return
  # Old lists name files that the mirror has replaced since.
  [[ $apt == machine && $(id -u) == 0 ]] || return 1
  apt-get -q -o DPkg::Lock::Timeout=600 update
  # shellcheck disable=SC2086
  (cd "$3" && apt-get -q download $parts)
}

# Newer packages have image and modules in packages of their own, with the same release in their names.
parts_of() {
  echo "$1"
  "$2"_apt_cache depends "$1" | awk -v release="${1#linux-image-}" '
    $1 == "Depends:" && $2 ~ /^linux-(base|binary|modules)-/ && substr($2, length($2) - length(release)) == "-" release {
      print $2
    }'
}

use_kernel_tree() {
  kernel_tree=$1
  kernel_release=${1##*/linux-image-}
  for kernel_image in "$1/boot/vmlinuz-$kernel_release" "$1/lib/modules/$kernel_release/vmlinuz"; do
    [[ ! -r $kernel_image ]] || return 0
  done
  rm -f "$1/complete"
  die "no kernel image in $1"
}

# An apt of its own for a suite that this machine does not use, out of the machine's own sources: same mirror, same
# proxy, same keys, and the machine's apt stays as it is.
other_suite=trixie-backports
other_apt=$cache/apt-$other_suite

other_apt_command() {
  local tool=$1
  shift
  "$tool" -o "Dir::Etc::sourcelist=$other_apt/suite.sources" -o Dir::Etc::sourceparts=- \
    -o "Dir::State::lists=$other_apt/lists" -o "Dir::Cache=$other_apt/cache" -o Acquire::Languages=none "$@"
}
other_apt_get() { other_apt_command apt-get "$@"; }
other_apt_cache() { other_apt_command apt-cache "$@"; }

refresh_other_suite() {
  local mirror
  mirror=$(mirror_of_machine)
  [[ -n $mirror ]] || return 1
  mkdir -p "$other_apt/lists/partial" "$other_apt/cache/archives/partial"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$other_suite" \
    /usr/share/keyrings/debian-archive-keyring.gpg >"$other_apt/suite.sources"
  # Without the error mode, apt-get update is content with lists that it could not refresh.
  other_apt_get -q -o APT::Update::Error-Mode=any -o Acquire::Retries=1 -o Acquire::http::Timeout=30 update \
    >"$scratch/other-apt.log" 2>&1
}

# The first archive that the machine gets Debian from; security updates come from another.
mirror_of_machine() {
  {
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -nE 's/^URIs: *([^ ]+).*/\1/p'
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | sed -nE 's/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p'
  } | grep -v security | head -n 1
}

kernel_newest() {
  local package=
  if refresh_other_suite; then package=$(package_of_release other); fi
  if [[ -z $package ]]; then
    tail -n 3 "$scratch/other-apt.log" >&2 || true
    shout "SKIPPED: kernel newest, since $other_suite cannot be reached"
    return
  fi
  kernel_from_package "$package" other newest
}

# 6.12 with what distributions leave out: function error injection, kprobe override, fail_*.
kernel_fault_injection() {
  local file
  for file in "${CHAOS_FAULTINJECTION_KERNEL:-}" "$root/../shared/vm/$fault_injection_file" \
    "$cache/$fault_injection_file"; do
    [[ -n $file && -r $file ]] || continue
    use_plain_image "$file"
    return
  done
  if [[ -n ${CHAOS_FAULTINJECTION_KERNEL:-} ]]; then die "CHAOS_FAULTINJECTION_KERNEL: $CHAOS_FAULTINJECTION_KERNEL cannot be read"; fi
  if ! $build_kernel; then
    shout "SKIPPED: kernel fault-injection, since there is none: name one in CHAOS_FAULTINJECTION_KERNEL, or --build-kernel"
    return
  fi
  "$vm_dir/build-kernel.sh" "$cache/$fault_injection_file" "$work/kernel"
  use_plain_image "$cache/$fault_injection_file"
}

# The release stands in the boot header (Documentation/arch/x86/boot.rst, kernel_version).
use_plain_image() {
  local at
  kernel_image=$(realpath "$1")
  at=$(($(od -An -tu2 -j $((0x20e)) -N 2 "$kernel_image") + 0x200))
  kernel_release=$(tail -c +$((at + 1)) "$kernel_image" | head -c 200 | tr '\0' '\n' | head -n 1 | cut -d' ' -f1) || true
  [[ -n $kernel_release ]] || die "$1 is no x86 kernel image"
  kernel_tree=
}
