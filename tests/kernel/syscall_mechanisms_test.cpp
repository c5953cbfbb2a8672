// Programs of each mechanism that this kernel has, whichever it is that a scenario would get here: the verifier takes
// them and they attach, and nothing of them is left. Their rule is never active, so no call fails. Observer: bpftool.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/instance.h"
#include "kernel/shared_maps.h"
#include "kernel/syscall_programs.h"
#include "support/kernel_test.h"
#include "support/observe.h"

namespace chaos::test {
namespace {

/// All calls that it may be asked for; of those with a program for each call, so many.
std::vector<MeantSyscall> calls_of(SyscallMechanism mechanism) {
  constexpr std::size_t kEntries = 8;
  const SyscallLadder& ladder = SyscallLadder::here();
  const bool by_entry = mechanism == SyscallMechanism::kEntry || mechanism == SyscallMechanism::kOverride;
  std::vector<MeantSyscall> calls;
  for (const SyscallInfo& call : syscall_table()) {
    const bool has = by_entry ? !call.entry.empty() && ladder.function(function_of(call)) != 0
                              : !(mechanism == SyscallMechanism::kCgroup ? call.cgroup : call.security).empty();
    if (has && !(by_entry && calls.size() >= kEntries)) calls.push_back({&call, mechanism});
  }
  return calls;
}

class SyscallMechanisms : public testing::TestWithParam<SyscallMechanism> {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
};

TEST_P(SyscallMechanisms, TheKernelTakesAllItsPrograms) {
  const MechanismState& state = SyscallLadder::here().state(GetParam());
  if (!state.available) {
    EXPECT_FALSE(state.reason.empty());
    return;
  }
  const std::string tag = instance_tag("mechanisms" + std::to_string(::getpid()));
  const auto shared = SharedMaps::create(tag);
  ASSERT_TRUE(shared) << shared.error().message;
  for (const bool path : {false, true}) {
    if (path && GetParam() != SyscallMechanism::kSecurity) continue;
    const auto maps = SyscallMaps::create(tag);
    ASSERT_TRUE(maps) << maps.error().message;
    maps->rule().path_form = path ? CHAOS_PATH_PREFIX : 0;
    std::vector<MeantSyscall> calls = calls_of(GetParam());
    if (path) {
      std::erase_if(calls, [&](const MeantSyscall& one) {
        return !std::ranges::all_of(one.call->security, [&](auto hook) { return state.tells_path(hook); });
      });
    }
    ASSERT_FALSE(calls.empty());
    std::vector<std::uint32_t> links;
    {
      const auto programs = SyscallPrograms::attach(*shared, *maps, calls);
      ASSERT_TRUE(programs) << programs.error().message;
      links = programs->link_ids();
      const auto known = bpftool_links();
      for (const std::uint32_t id : links) EXPECT_TRUE(known.contains(id)) << id;
    }
    const auto left = bpftool_links();
    for (const std::uint32_t id : links) EXPECT_FALSE(left.contains(id)) << id;
  }
}

std::string name_of(SyscallMechanism mechanism) {
  constexpr const char* kNames[]{"Entry", "Override", "Security", "Cgroup"};
  return kNames[static_cast<std::size_t>(mechanism)];
}

INSTANTIATE_TEST_SUITE_P(All, SyscallMechanisms, testing::ValuesIn(kSyscallMechanisms),
                         [](const auto& param) { return name_of(param.param); });

}  // namespace
}  // namespace chaos::test
