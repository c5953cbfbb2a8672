#!/usr/bin/env bash
# Builds the kernel fault-injection: Debian 12's linux-source-6.12 with what kernel.config asks for, all of it built in.
#
#   build-kernel.sh OUTPUT WORK-DIRECTORY
#
# Takes a quarter of an hour on two cores, and 3 GB in WORK-DIRECTORY, which is removed when it succeeds.
set -euo pipefail

config=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/kernel.config
output=$1
work=$2
source_package=linux-source-6.12
needed=(make gcc flex bison bc pahole xz)

die() {
  printf 'build-kernel.sh: %s\n' "$*" >&2
  exit 1
}

# Every line of kernel.config holds in .config: a wish whose dependencies are not met would go unnoticed otherwise.
check_config() {
  local line option missing=0
  while IFS= read -r line; do
    option=${line%%=*}
    case $line in
      '#'* | '') continue ;;
      *=n) if ! grep -q "^$option=[ym]" "$1"; then continue; fi ;;
      *) if grep -qxF -- "$line" "$1"; then continue; fi ;;
    esac
    echo "not as wanted: $line"
    missing=$((missing + 1))
  done <"$config"
  ((missing == 0)) || die "$missing options of kernel.config did not come out as wanted"
}

for command in "${needed[@]}"; do
  command -v "$command" >/dev/null || die "no $command here; as root: apt-get install flex bison bc dwarves make gcc libelf-dev \
xz-utils"
done
mkdir -p "$work"
cd "$work"
echo "kernel: downloading $source_package"
apt-get -q download "$source_package" >download.log 2>&1 || die "$source_package cannot be downloaded (see $work/download.log)"
dpkg-deb -x "$source_package"_*.deb .
tar -xf "usr/src/$source_package.tar.xz"
cd "$source_package"
make -s tinyconfig >/dev/null
scripts/kconfig/merge_config.sh -m .config "$config" >../merge.log 2>&1
make -s olddefconfig
check_config .config
echo "kernel: compiling on $(nproc) cores"
make -s -j"$(nproc)" bzImage >../make.log 2>&1 || {
  tail -n 30 ../make.log
  die 'make failed'
}
cp arch/x86/boot/bzImage "$output.new"
mv "$output.new" "$output"
rm -rf "$work"
