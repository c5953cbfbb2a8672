#!/usr/bin/env bash
# Plants one fault at a time in gate, admission, queue and latch, and sees whether the tests notice. Works on a copy of
# the sources (git's HEAD) under the directory given, never here. Not part of CI: it takes half an hour.
# Usage: tests/mutants/run.sh DIRECTORY [safety|gate]...
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
copy=${1:?usage: run.sh DIRECTORY [safety|gate]...}
shift
sets=("$@")
((${#sets[@]} > 0)) || sets=(safety gate)
total=0
caught=0
survivors=()

[[ -d $copy/.git ]] || git clone -q "$here/../.." "$copy"
cd "$copy"
cmake --preset release -DCHAOS_BENCH=OFF >/dev/null

# build SET: what the tests of a set need. All of it must build: a mutant that does not compile proves nothing.
build() {
  if [[ $1 == safety ]]; then
    ninja -C build unit_safety
  else
    ninja -C build chaosd chaosctl kernel_gate kernel_loss system_brake system_lapse
  fi
}

# check SET: succeeds if no test notices.
check() {
  if [[ $1 == safety ]]; then
    timeout 120 build/bin/unit_safety
  else
    timeout 60 build/bin/kernel_gate &&
      timeout 200 build/bin/kernel_loss --gtest_filter='LossDecisions.*:LossProtection.*:LossFidelity.*' &&
      timeout 60 build/bin/system_brake --gtest_filter='Brake.*' &&
      timeout 60 build/bin/system_lapse --gtest_filter='*Stop*'
  fi
}

# plant FILE OLD NEW: fails unless OLD is there exactly once.
plant() {
  OLD=$2 NEW=$3 perl -0777 -pi -e '
    my $count = () = /\Q$ENV{OLD}\E/g;
    die "found $count times: $ENV{OLD}\n" if $count != 1;
    s/\Q$ENV{OLD}\E/$ENV{NEW}/' "$1"
}

trim() { sed -E '1s/^ //; $s/ $//' <<<"$1"; }

try() {
  local set=$1 file old new entry=$2
  file=$(trim "${entry%%|||*}")
  entry=${entry#*|||}
  old=$(trim "${entry%%|||*}")
  new=$(trim "${entry#*|||}")
  total=$((total + 1))
  git checkout -q -- "$file"
  plant "$file" "$old" "$new"
  if ! build "$set" >build/mutant.log 2>&1; then
    tail -n 20 build/mutant.log
    echo "mutant $total does not build: $file: $new"
    exit 1
  fi
  if check "$set" >build/mutant.log 2>&1; then
    survivors+=("$file: $old -> $new")
    echo "SURVIVED $total $file: $old -> $new"
  else
    caught=$((caught + 1))
    echo "caught   $total $file: $old -> $new"
  fi
  git checkout -q -- "$file"
}

for set in "${sets[@]}"; do
  build "$set" >build/mutant.log 2>&1
  check "$set" >build/mutant.log 2>&1 || { tail -n 30 build/mutant.log; echo "the tests fail without a mutant"; exit 1; }
  entry=
  while IFS= read -r line || [[ -n $line ]]; do
    [[ $line == '#'* ]] && continue
    # An entry begins with its file and may go on over several lines.
    if [[ $line =~ ^(bpf|daemon)/ && -n $entry ]]; then
      try "$set" "$entry"
      entry=
    fi
    entry+=${entry:+$'\n'}$line
  done <"$here/$set.txt"
  [[ -z $entry ]] || try "$set" "$entry"
done
echo "$caught of $total caught"
((${#survivors[@]} == 0)) || printf 'survived: %s\n' "${survivors[@]}"
