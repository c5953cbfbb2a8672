// What the parameters of syscall_failure mean, and which mechanism gets which call on kernels of every kind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "fault/syscall_failure.h"
#include "kernel/syscall_table.h"

namespace chaos {
namespace {

using testing::HasSubstr;
using enum SyscallMechanism;

SyscallLadder ladder_of(const std::set<SyscallMechanism>& available) {
  std::array<MechanismState, 4> states;
  for (const SyscallMechanism mechanism : kSyscallMechanisms) {
    MechanismState& state = states[static_cast<std::size_t>(mechanism)];
    state.mechanism = mechanism;
    state.available = available.contains(mechanism);
    state.exact = mechanism != SyscallMechanism::kEntry;
    state.by_return = state.available;
    if (!state.available) state.reason = "lacks CONFIG_" + std::to_string(static_cast<int>(mechanism));
  }
  SyscallLadder::Functions functions;
  for (const SyscallInfo& call : syscall_table()) {
    if (!call.entry.empty()) functions[function_of(call)] = 1;
    for (const chaos_syscall_hook hook : call.security) functions[function_of(hook)] = 1;
  }
  return SyscallLadder(std::move(states), std::move(functions));
}

Parameters given(Parameters more) {
  Parameters all{{"syscalls", "connect"}, {"errno", "EIO"}, {"probability", "100%"}};
  for (auto& [name, value] : more) all[name] = value;
  return all;
}

std::string calls_by(const SyscallRequest& request, SyscallMechanism mechanism) {
  std::string text;
  for (const MeantSyscall& one : request.calls) {
    if (one.mechanism == mechanism) text += (text.empty() ? "" : " ") + std::string(one.call->name);
  }
  return text;
}

TEST(SyscallLadderTest, TheFirstThatTheKernelHas) {
  const Parameters both = given({{"syscalls", "connect,fsync,read"}});
  const auto everything = syscall_request(both, ladder_of({kEntry, kOverride, kSecurity, kCgroup}));
  ASSERT_TRUE(everything);
  EXPECT_EQ(calls_by(*everything, kEntry), "connect fsync read");
  const auto by_override = syscall_request(both, ladder_of({kOverride, kSecurity, kCgroup}));
  ASSERT_TRUE(by_override);
  EXPECT_EQ(calls_by(*by_override, kOverride), "connect fsync read");
  const auto stock = syscall_request(given({{"syscalls", "connect,read"}}), ladder_of({kSecurity, kCgroup}));
  ASSERT_TRUE(stock);
  EXPECT_EQ(calls_by(*stock, kSecurity), "connect read");
  const auto least = syscall_request(given({}), ladder_of({kCgroup}));
  ASSERT_TRUE(least);
  EXPECT_EQ(calls_by(*least, kCgroup), "connect");
}

TEST(SyscallLadderTest, WhereNumbersMatterTheFirstThatSeesEachCall) {
  for (const auto& [name, value] : Parameters{{"every_nth", "7"}, {"first", "100"}}) {
    const Parameters counted = given({{"syscalls", "connect,fsync,read"}, {name, value}});
    const auto request = syscall_request(counted, ladder_of({kEntry, kSecurity, kCgroup}));
    ASSERT_TRUE(request) << name;
    EXPECT_EQ(calls_by(*request, kSecurity), "connect read") << name;
    // Nothing else has it.
    EXPECT_EQ(calls_by(*request, kEntry), "fsync") << name;
    const auto probed = syscall_request(counted, ladder_of({kEntry, kOverride, kSecurity, kCgroup}));
    ASSERT_TRUE(probed) << name;
    EXPECT_EQ(calls_by(*probed, kOverride), "connect fsync read") << name;
  }
}

TEST(SyscallLadderTest, WhatIsMissingIsNamed) {
  const auto refused = syscall_request(given({{"syscalls", "fsync"}}), ladder_of({kSecurity, kCgroup}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kUnsupported);
  EXPECT_EQ(refused.error().field, "parameters.syscalls");
  EXPECT_THAT(refused.error().message, HasSubstr("fsync"));
  // Those that would have it, and not those that would not help.
  EXPECT_THAT(refused.error().message, HasSubstr("CONFIG_0"));
  EXPECT_THAT(refused.error().message, HasSubstr("CONFIG_1"));
}

TEST(SyscallLadderTest, PathsAreKnownToSecurityHooksAlone) {
  const Parameters by_path = given({{"syscalls", "openat"}, {"path", "/srv"}});
  const auto chosen = syscall_request(by_path, ladder_of({kEntry, kSecurity, kCgroup}));
  ASSERT_TRUE(chosen);
  EXPECT_EQ(calls_by(*chosen, kSecurity), "openat");
  EXPECT_FALSE(syscall_request(by_path, ladder_of({kEntry, kCgroup})));
  // It passes one, which does not know the path.
  EXPECT_FALSE(syscall_request(given({{"syscalls", "unlink"}, {"path", "/srv"}}), ladder_of({kEntry, kSecurity})));
}

TEST(SyscallRequestTest, AGroupIsWhatCanBeFailedOfIt) {
  const auto request = syscall_request(given({{"syscalls", "network"}}), ladder_of({kCgroup}));
  ASSERT_TRUE(request);
  EXPECT_EQ(calls_by(*request, kCgroup), "socket connect sendto sendmsg bind setsockopt getsockopt");
  EXPECT_THAT(request->left_out, testing::Contains("listen"));
  EXPECT_FALSE(syscall_request(given({{"syscalls", "file"}}), ladder_of({kCgroup})));
}

TEST(SyscallRequestTest, WhatNoProgramLivesThroughIsInNoGroup) {
  const auto request = syscall_request(given({{"syscalls", "file,network,process,memory"}}), ladder_of({kEntry}));
  ASSERT_TRUE(request);
  for (const MeantSyscall& one : request->calls) EXPECT_FALSE(one.call->named_only) << one.call->name;
  for (const char* name : {"execve", "rt_sigreturn", "munmap", "futex", "close"}) {
    EXPECT_FALSE(
        testing::Matches(testing::HasSubstr(" " + std::string(name) + " "))(" " + calls_by(*request, kEntry) + " "))
        << name;
    EXPECT_TRUE(syscall_request(given({{"syscalls", name}}), ladder_of({kEntry}))) << name;
  }
}

TEST(SyscallRequestTest, FiltersGoWithCallsThatHaveTheArgument) {
  const SyscallLadder all = ladder_of({kEntry, kSecurity, kCgroup});
  EXPECT_TRUE(syscall_request(given({{"syscalls", "read"}, {"fd_type", "regular,socket"}}), all));
  const auto no_fd = syscall_request(given({{"syscalls", "openat"}, {"fd_type", "regular"}}), all);
  ASSERT_FALSE(no_fd);
  EXPECT_EQ(no_fd.error().field, "parameters.fd_type");
  const auto no_size = syscall_request(given({{"syscalls", "fsync"}, {"min_size", "4KiB"}}), all);
  ASSERT_FALSE(no_size);
  EXPECT_EQ(no_size.error().field, "parameters.min_size");
}

TEST(SyscallTable, NamesAndNumbersAreThereOnce) {
  std::set<std::string_view> names;
  std::set<unsigned> numbers;
  for (const SyscallInfo& call : syscall_table()) {
    EXPECT_TRUE(names.insert(call.name).second) << call.name;
    EXPECT_TRUE(numbers.insert(call.number).second) << call.name;
    EXPECT_LT(call.number, static_cast<unsigned>(CHAOS_SYSCALL_NUMBERS)) << call.name;
  }
}

}  // namespace
}  // namespace chaos
