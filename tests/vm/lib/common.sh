# shellcheck shell=bash
# What all parts of tests/vm/run share: where things are, how it speaks, how it ends.

vm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(cd "$vm_dir/../.." && pwd)
build=${CHAOS_VM_BUILD:-$root/build}
work=$build/vm
cache=${XDG_CACHE_HOME:-$HOME/.cache}/chaosd-vm

say() { printf '[%4ds] %s\n' "$SECONDS" "$*"; }

# What a hurried reader must not miss.
shout() { printf '\n*** %s\n\n' "$*" >&2; }

die() {
  printf 'tests/vm/run: %s\n' "$*" >&2
  exit 1
}

die_usage() {
  printf 'tests/vm/run: %s\n' "$*" >&2
  exit 2
}

need_command() {
  command -v "$1" >/dev/null || die "no $1 here; as root: ./setup.sh packages vm test"
}

# Nothing may end it in silence.
set -E
trap 'printf "tests/vm/run: %s failed (%s:%s)\n" "$BASH_COMMAND" "${BASH_SOURCE[0]##*/}" "$LINENO" >&2' ERR

# Scratch that goes with the run, however that ends. Results stay.
scratch=
qemu_pid=
clean_up() {
  # timeout(1) passes it on to qemu, and kills that when it does not listen.
  if [[ -n $qemu_pid ]] && kill -TERM "$qemu_pid" 2>/dev/null; then wait "$qemu_pid" || true; fi
  if [[ -n $scratch ]]; then rm -rf "$scratch"; fi
}

# One run at a time: emulation takes all of a small machine. What runs that were killed left goes with the next one.
begin_run() {
  mkdir -p "$work" "$cache"
  exec 8>"$work/lock" 9>"$cache/lock"
  if ! flock -n 8 || ! flock -n 9; then
    say 'waiting for another run to end'
    flock 8
    flock 9
  fi
  rm -rf "$work"/scratch.*
  scratch=$(mktemp -d "$work/scratch.XXXXXX")
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}
