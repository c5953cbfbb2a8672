#!/usr/bin/env bash
# The programs stand on the libraries that the project has chosen: seen by the loader and in the build's own records.
set -euo pipefail

build=$1

fail() {
  echo "FAILED: $*"
  exit 1
}

linked=$(ldd "$build/bin/chaosd")
for library in libbpf.so libnl-3.so libnl-route-3.so libyaml-cpp.so libspdlog.so libsystemd.so libmicrohttpd.so \
  libsqlite3.so; do
  grep -qF "$library" <<<"$linked" || fail "chaosd is not linked with $library"
done
linked=$(ldd "$build/libexec/chaosd/chaosctl-main")
grep -qF libncursesw.so <<<"$linked" || fail 'chaosctl is not linked with libncursesw'
# Opened at run time: it and the thirty libraries behind it would cost an idle chaosd memory and the brake time.
for program in bin/chaosd bin/chaosctl libexec/chaosd/chaosctl-main; do
  linked=$(ldd "$build/$program" 2>&1 || true)  # chaosctl itself is linked with nothing
  if grep -qF libcurl.so <<<"$linked"; then fail "$program is linked with libcurl"; fi
done

# Headers only: what was compiled says so.
headers=$(ninja -C "$build" -t deps)
for use in 'ctl/CMakeFiles/chaos_ctl.dir/app.cpp.o /usr/include/CLI/CLI.hpp' \
  'daemon/CMakeFiles/chaosd.dir/main.cpp.o /usr/include/CLI/CLI.hpp' \
  'tests/unit/CMakeFiles/unit_plan.dir/plan_target_test.cpp.o /usr/include/gtest/gtest.h'; do
  awk -v object="${use% *}:" -v header="${use#* }" '
    /^[^ ]/ { inside = $1 == object }
    inside && $1 == header { found = 1 }
    END { exit !found }' <<<"$headers" || fail "${use% *} was not compiled with ${use#* }"
done
echo 'chaosd and chaosctl stand on the libraries that they should'
