#!/usr/bin/env bash
# The Debian package: policy (lintian), what it holds, what its scripts are, and that its units hold together. How it
# behaves on a host with systemd is for tests/vm/full.
set -euo pipefail

build=$1
work=$(mktemp -d /tmp/chaos-test-package-XXXXXX)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $*"
  exit 1
}

(cd "$build" && cpack -G DEB -B "$work/made") >"$work/cpack.log" 2>&1 || fail "cpack: $(tail -n 20 "$work/cpack.log")"
deb=$(find "$work/made" -maxdepth 1 -name 'chaosd_*.deb')
[[ $(wc -l <<<"$deb") == 1 && -r $deb ]] || fail "not one package: $deb"

lintian --allow-root --fail-on error,warning "$deb" || fail 'lintian'

dpkg-deb --extract "$deb" "$work/root"
dpkg-deb --control "$deb" "$work/control"
for file in usr/sbin/chaosd usr/bin/chaosctl usr/libexec/chaosd/chaosctl-main lib/systemd/system/chaosd.service lib/systemd/system/chaosd.socket \
  lib/systemd/system/chaosd-view.socket usr/lib/sysusers.d/chaosd.conf usr/lib/tmpfiles.d/chaosd.conf \
  etc/chaosd/chaosd.yaml usr/share/man/man8/chaosd.8.gz usr/share/man/man1/chaosctl.1.gz \
  usr/share/man/man5/chaosd.yaml.5.gz usr/share/bash-completion/completions/chaosctl \
  usr/share/zsh/vendor-completions/_chaosctl usr/share/fish/vendor_completions.d/chaosctl.fish \
  usr/share/doc/chaosd/copyright usr/share/doc/chaosd/examples/pipeline/chaosd.yaml; do
  [[ -s $work/root/$file ]] || fail "not in the package: /$file"
done
odd=$(find "$work/root" ! -type l \( -perm /6000 -o -perm -002 -o ! -user root -o ! -group root \))
[[ -z $odd ]] || fail "odd modes or owners: $odd"
[[ $(<"$work/control/conffiles") == /etc/chaosd/chaosd.yaml ]] || fail 'the configuration is no conffile'
for script in postinst prerm postrm; do
  [[ -x $work/control/$script ]] || fail "no $script"
  sh -n "$work/control/$script"
done

# The programs that the units and the package name are the ones in it.
for unit in "$work"/root/lib/systemd/system/*.service; do
  while read -r program; do
    [[ -x $work/root$program ]] || fail "$(basename "$unit") runs $program, which is not in the package"
  done < <(sed -nE 's/^Exec(Start|StopPost)=[-+!@]*(\/usr[^ ]*).*/\2/p' "$unit")
done
[[ $("$work/root/usr/bin/chaosctl" --version) == chaosctl* ]] || fail 'chaosctl does not run'
# The packaged configuration is one that the packaged chaosctl takes.
"$work/root/usr/bin/chaosctl" config check "$work/root/etc/chaosd/chaosd.yaml" >"$work/check.log" 2>&1 ||
  fail "config check: $(<"$work/check.log")"
# shellcheck disable=SC1091
(. "$work/root/usr/share/bash-completion/completions/chaosctl" && complete -p chaosctl >/dev/null) ||
  fail 'the completion of bash does not load'

# Offline, in a tree of its own: PID 1 need not be systemd. The figure is the unit's own business to keep.
exposure=$(systemd-analyze security --offline=yes --no-pager "$work/root/lib/systemd/system/chaosd.service" |
  sed -nE 's/.*Overall exposure level for chaosd.service: ([0-9.]+).*/\1/p')
echo "systemd-analyze security: $exposure"
[[ -n $exposure ]] || fail 'systemd-analyze says nothing'
# 4.4: of the calls that mount it may use those that make a file system nobody else sees (syscall_latency).
awk -v value="$exposure" 'BEGIN { exit !(value <= 4.4) }' || fail "the unit is more exposed than it was: $exposure > 4.4"
