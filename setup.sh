#!/usr/bin/env bash
# Builds, tests, demonstrates and installs chaosd on Debian 12. `./setup.sh help` lists the commands.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$root/build
log=$build/setup.log
policy=/usr/sbin/policy-rc.d
policy_mark='# placed by chaosd setup.sh'

build_packages=(
  g++ cmake ninja-build pkgconf ccache mold clang-16 bpftool
  libbpf-dev libelf-dev zlib1g-dev linux-libc-dev libnl-3-dev libnl-route-3-dev libyaml-cpp-dev libspdlog-dev
  libfmt-dev libcli11-dev libsystemd-dev libmicrohttpd-dev libcurl4-openssl-dev nlohmann-json3-dev libsqlite3-dev
  libhowardhinnant-date-dev tzdata nettle-dev libncurses-dev libgtest-dev libgmock-dev libbenchmark-dev scdoc
)
test_packages=(
  iproute2 iputils-ping iputils-arping iperf3 nftables iptables ethtool strace gdb procps util-linux curl
  openssh-server openssh-client sqlite3 bpftool jq bc etcd-server etcd-client redis-server redis-tools
  prometheus e2fsprogs tmux
)
demo_packages=(iproute2 procps util-linux bpftool jq rsyslog rsyslog-hiredis redis-server redis-tools)
package_packages=(dpkg-dev fakeroot file lintian gzip)
ci_packages=(clang-format clang-tidy-19 clang-19 libclang-rt-19-dev gcovr shellcheck git)
vm_packages=(
  qemu-system-x86 busybox-static cpio kmod xz-utils e2fsprogs mmdebstrap debian-archive-keyring binutils jq
)

usage() {
  cat <<'END'
usage: ./setup.sh COMMAND

  demo [--keep]      build, then break a small log pipeline and show what it did (two and a half minutes);
                     --keep leaves the pipeline and chaosd up to play with
  test [CTEST ARGS]  build and run all tests on this machine's kernel
  build              install what is missing and build into build/bin
  install            build and install under PREFIX (default /usr)
  uninstall [--purge]
                     remove what install put; --purge removes configuration and history too
  package            build the Debian package (build/chaosd_VERSION_ARCH.deb) and check it with lintian
  packages [build|test|demo|package|ci|vm]...
                     only install the Debian packages that these need; vm is for tests/vm/run
  help               this text

Environment: CI=true makes warnings errors; CHAOS_REQUIRE_KERNEL=1 turns skipped kernel tests into failures;
PREFIX and DESTDIR are for install. Everything else that commands print is in build/setup.log.
END
}

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

die() {
  printf 'setup.sh: %s\n' "$*" >&2
  exit 1
}

# Runs a command with its output in the log; shows the log's end when it fails.
quietly() {
  printf '\n$ %s\n' "$*" >>"$log"
  local status=0
  "$@" >>"$log" 2>&1 </dev/null || status=$?
  if ((status != 0)); then
    tail -n 40 "$log" >&2
    die "failed with status $status: $* (whole log: $log)"
  fi
}

cleanup() {
  if [[ -e $policy ]] && grep -qsF "$policy_mark" "$policy"; then
    rm -f "$policy"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

require_root() {
  [[ $(id -u) == 0 ]] || die "'$1' needs root: it installs Debian packages, loads eBPF programs and makes network \
namespaces and cgroups of its own. Run it as root, for example with sudo."
}

require_debian() {
  local ID=unknown PRETTY_NAME='' VERSION_CODENAME='' DEBIAN_CODENAME=''
  # shellcheck source=/dev/null
  [[ -r /etc/os-release ]] && . /etc/os-release
  if [[ ${DEBIAN_CODENAME:-$VERSION_CODENAME} != bookworm ]] || ! command -v apt-get >/dev/null; then
    die "this script knows Debian 12 (bookworm) only, and this is ${PRETTY_NAME:-$ID}. Elsewhere install what the head \
of this script lists, then: cmake --preset release && cmake --build build"
  fi
}

is_installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Prints those of the packages that apt could not install. One call for all: each takes a third of a second.
unavailable() {
  local known
  known=$(apt-cache policy "$@" 2>/dev/null |
    awk '/^[^ ].*:$/ { name = $0; sub(/:$/, "", name) } $1 == "Candidate:" && $2 != "(none)" { print name }')
  grep -vxF -e "$known" < <(printf '%s\n' "$@") || true
}

# Services that a package brings must not start on a machine that did not run them before. An administrator's own
# policy-rc.d stays in charge.
forbid_service_starts() {
  [[ -e $policy ]] && return
  printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
  chmod 755 "$policy"
}

# policy-rc.d keeps services from starting now; this keeps systemd from starting them at the next boot.
disable_units_of() {
  [[ -d /run/systemd/system ]] || return 0
  local units
  mapfile -t units < <(dpkg-query -L "$@" |
    sed -nE 's#^(/usr)?/lib/systemd/system/([^/@]+\.(service|socket|timer))$#\2#p' | sort -u)
  if ((${#units[@]} > 0)); then
    say "services that were not here before stay off: ${units[*]}"
    quietly systemctl disable --now "${units[@]}"
  fi
}

apt_get() { apt-get -q -y -o DPkg::Lock::Timeout=600 "$@"; }

install_packages() {
  local package missing=() unknown
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]} > 0)) || return 0

  export DEBIAN_FRONTEND=noninteractive
  if [[ -n $(unavailable "${missing[@]}") ]]; then
    say 'packages: refreshing the lists'
    quietly apt_get update
  fi
  unknown=$(unavailable "${missing[@]}")
  [[ -z $unknown ]] || die "apt knows no such package: ${unknown//$'\n'/ } (is bookworm's main section configured?)"

  say "packages: installing ${#missing[@]} (${missing[*]})"
  forbid_service_starts
  printf '\n$ apt-get install %s\n' "${missing[*]}" >>"$log"
  if ! apt_get install --no-install-recommends "${missing[@]}" >>"$log" 2>&1 </dev/null; then
    # Old lists name files that the mirror has replaced since.
    say 'packages: once more with fresh lists'
    quietly apt_get update
    quietly apt_get install --no-install-recommends "${missing[@]}"
  fi
  cleanup
  disable_units_of "${missing[@]}"
}

packages() {
  local group wanted=()
  for group in "$@"; do
    case $group in
      build) wanted+=("${build_packages[@]}") ;;
      test) wanted+=("${test_packages[@]}") ;;
      demo) wanted+=("${demo_packages[@]}") ;;
      package) wanted+=("${package_packages[@]}") ;;
      ci) wanted+=("${ci_packages[@]}") ;;
      vm) wanted+=("${vm_packages[@]}") ;;
      *) die "no such group of packages: $group" ;;
    esac
  done
  mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
  install_packages "${wanted[@]}"
}

build() {
  local preset=release
  [[ ${CI:-} == true ]] && preset=ci
  say "build: configuring (preset $preset)"
  (cd "$root" && quietly cmake --preset "$preset" "$@")
  say "build: compiling on $(nproc) cores"
  quietly cmake --build "$build"
  say "build: done, see $build/bin"
}

make_package() {
  say 'package: cpack'
  (cd "$build" && quietly cpack -G DEB)
  local file
  file=$(find "$build" -maxdepth 1 -name 'chaosd_*.deb' -newer "$build/CPackConfig.cmake" -print -quit)
  [[ -n $file ]] || file=$(find "$build" -maxdepth 1 -name 'chaosd_*.deb' -print -quit)
  say 'package: lintian'
  quietly lintian --allow-root --fail-on error,warning "$file"
  say "package: $file"
}

run_tests() {
  say 'test: unit, kernel and system tests'
  ctest --test-dir "$build" --output-on-failure --label-regex '^(unit|kernel|system)$' "$@" </dev/null
}

group_exists() { grep -q "^$1:" /etc/group; }

install_all() {
  local prefix=${PREFIX:-/usr} share groups_before='' group
  [[ $prefix == /* ]] || die "PREFIX must be an absolute path: $prefix"
  build -DCMAKE_INSTALL_PREFIX="$prefix"
  say "install: files under ${DESTDIR:-}$prefix and ${DESTDIR:-}/etc/chaosd"
  quietly cmake --install "$build"
  share=${DESTDIR:-}$prefix/share/chaosd
  install -d "$share"
  # CMake ends the list without a newline.
  awk 'NF' "$build/install_manifest.txt" >"$share/install_manifest.txt"
  if [[ -z ${DESTDIR:-} ]]; then
    for group in chaos chaos-view; do
      group_exists "$group" && groups_before+=" $group "
    done
    activate_install "$prefix"
    for group in chaos chaos-view; do
      [[ $groups_before == *" $group "* ]] || printf '%s\n' "$group" >>"$share/install_groups.txt"
    done
  fi
  say 'install: done'
}

# What a package's postinst would do: groups, directories, systemd's view of the units.
activate_install() {
  local prefix=$1
  if command -v systemd-sysusers >/dev/null; then
    quietly systemd-sysusers "$prefix/lib/sysusers.d/chaosd.conf"
  else
    quietly groupadd --force --system chaos
    quietly groupadd --force --system chaos-view
  fi
  if command -v systemd-tmpfiles >/dev/null; then
    quietly systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/chaosd.conf"
  fi
  if [[ -d /run/systemd/system ]]; then
    quietly systemctl daemon-reload
    say 'install: start it with: systemctl enable --now chaosd.socket chaosd.service'
  else
    say "install: no systemd here; start it with: $prefix/sbin/chaosd --config /etc/chaosd/chaosd.yaml"
  fi
}

uninstall() {
  local purge=false prefix=${PREFIX:-/usr} share manifest file directory
  case ${1:-} in
    '') ;;
    --purge) purge=true ;;
    *) die "uninstall takes only --purge, not $1" ;;
  esac
  share=${DESTDIR:-}$prefix/share/chaosd
  manifest=$share/install_manifest.txt
  [[ -r $manifest ]] || die "nothing to remove: there is no $manifest (was it installed with another PREFIX?)"

  if [[ -z ${DESTDIR:-} && -d /run/systemd/system ]]; then
    say 'uninstall: stopping the service'
    quietly systemctl disable --now chaosd.service chaosd.socket
  fi
  while IFS= read -r file; do
    if [[ $file != /etc/* ]] || $purge; then
      rm -f "${DESTDIR:-}$file"
    fi
  done <"$manifest"
  # Only directories that are ours by name, and only when nothing else was put there.
  while IFS= read -r directory; do
    rmdir --ignore-fail-on-non-empty "${DESTDIR:-}$directory" 2>/dev/null || true
  done < <(sed 's|/[^/]*$||' "$manifest" | while IFS= read -r directory; do
    while [[ $directory == */chaosd || $directory == */chaosd/* ]]; do
      printf '%s\n' "$directory"
      directory=${directory%/*}
    done
  done | sort -ru)
  if $purge; then rm -rf "${DESTDIR:-}/etc/chaosd"; fi
  if $purge && [[ -z ${DESTDIR:-} ]]; then
    rm -rf /var/lib/chaosd /var/log/chaosd /run/chaosd
    if [[ -r $share/install_groups.txt ]]; then
      while IFS= read -r file; do
        if group_exists "$file"; then quietly groupdel "$file"; fi
      done <"$share/install_groups.txt"
    fi
  fi
  rm -f "$manifest"
  if $purge || [[ ! -e $share/install_groups.txt ]]; then rm -rf "$share"; fi
  if [[ -z ${DESTDIR:-} && -d /run/systemd/system ]]; then quietly systemctl daemon-reload; fi
  if $purge; then
    say 'uninstall: done'
  else
    say 'uninstall: done; /etc/chaosd and /var/lib/chaosd stay (--purge removes them)'
  fi
}

main() {
  local command=${1:-help}
  shift || true
  case $command in
    help | -h | --help)
      usage
      return
      ;;
    demo | test | build | install | uninstall | package | packages) ;;
    *)
      usage >&2
      exit 2
      ;;
  esac

  require_root "$command"
  require_debian
  mkdir -p "$build"
  printf '\n=== setup.sh %s, %s\n' "$command $*" "$(date -u +%FT%TZ)" >>"$log"
  case $command in
    packages) packages "${@:-build}" ;;
    build)
      packages build
      build
      ;;
    test)
      packages build test package
      build
      run_tests "$@"
      ;;
    demo)
      packages build demo
      build
      "$root/config/examples/pipeline/demo.sh" "$@"
      ;;
    install)
      packages build
      install_all
      ;;
    package)
      packages build package
      build
      make_package
      ;;
    uninstall) uninstall "$@" ;;
  esac
}

main "$@"
