#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/ulid.h"

namespace chaos {
namespace {

TEST(Result, SystemErrorsNameOperationErrnoAndDescription) {
  const Status status = fail_errno("open /x", ENOENT);
  EXPECT_EQ(status.error().message, "open /x: ENOENT (No such file or directory)");
  EXPECT_EQ(status.error().sys_errno, ENOENT);
  EXPECT_EQ(status.error().code, Errc::kInternal);
}

TEST(Result, UnknownErrnoPrintsAsANumber) {
  EXPECT_EQ(errno_name(EPERM), "EPERM");
  EXPECT_EQ(errno_name(9999), "9999");
}

TEST(Result, ContextGoesInFrontAndKeepsTheRest) {
  const Status status =
      with_context("attach", Error{Errc::kRefused, "too much", "parameters.p", "max 10%", "give less", EINVAL});
  EXPECT_EQ(status.error().message, "attach: too much");
  EXPECT_EQ(status.error().code, Errc::kRefused);
  EXPECT_EQ(status.error().field, "parameters.p");
  EXPECT_EQ(status.error().rule, "max 10%");
  EXPECT_EQ(status.error().hint, "give less");
  EXPECT_EQ(status.error().sys_errno, EINVAL);
}

TEST(Clock, PrintsRfc3339WithMilliseconds) {
  EXPECT_EQ(format_rfc3339(WallTime{}), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_rfc3339(WallTime(std::chrono::milliseconds(1'795'502'077'123))), "2026-11-24T06:34:37.123Z");
  EXPECT_EQ(format_rfc3339(WallTime(std::chrono::milliseconds(951'782'400'007))), "2000-02-29T00:00:00.007Z");
  EXPECT_EQ(format_rfc3339(WallTime(std::chrono::milliseconds(-1))), "1969-12-31T23:59:59.999Z");
}

TEST(Clock, ReadsTheKernelsClocks) {
  const Clock& clock = system_clock();
  timespec before{};
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &before), 0);
  const auto boot = clock.boottime();
  EXPECT_GE(boot, std::chrono::seconds(before.tv_sec) + std::chrono::nanoseconds(before.tv_nsec));
  const auto monotonic = clock.monotonic();
  EXPECT_LE(monotonic, clock.monotonic());
  EXPECT_LE(monotonic, clock.boottime());
  const auto wall = std::chrono::system_clock::now();
  EXPECT_LT(std::chrono::abs(clock.wall() - wall), std::chrono::seconds(5));
}

TEST(Ulid, HasTheFormOfTheSpec) {
  const std::string id = make_ulid();
  EXPECT_EQ(id.size(), 26U);
  EXPECT_TRUE(is_ulid(id));
  EXPECT_EQ(id.find_first_of("ILOU"), std::string::npos);
}

TEST(Ulid, CarriesTheTimeInItsFirstTenDigits) {
  constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const auto before = system_clock().wall().time_since_epoch().count();
  const std::string id = make_ulid();
  const auto after = system_clock().wall().time_since_epoch().count();
  std::int64_t ms = 0;
  for (const char c : id.substr(0, 10)) ms = ms * 32 + static_cast<std::int64_t>(kAlphabet.find(c));
  EXPECT_GE(ms, before);
  EXPECT_LE(ms, after);
}

TEST(Ulid, SortsInTheOrderOfMaking) {
  std::string last = make_ulid();
  for (int i = 0; i < 10'000; ++i) {
    std::string next = make_ulid();
    ASSERT_LT(last, next);
    last = std::move(next);
  }
}

TEST(Ulid, IsUniqueAcrossThreads) {
  constexpr std::size_t kEach = 2'000;
  std::vector<std::vector<std::string>> made(4);
  {
    std::vector<std::jthread> threads;
    for (auto& ids : made) {
      threads.emplace_back([&ids] {
        for (std::size_t i = 0; i < kEach; ++i) ids.push_back(make_ulid());
      });
    }
  }
  std::set<std::string> all;
  for (const auto& ids : made) all.insert(ids.begin(), ids.end());
  EXPECT_EQ(all.size(), kEach * made.size());
}

TEST(Ulid, RecognizesTheForm) {
  EXPECT_TRUE(is_ulid("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
  EXPECT_TRUE(is_ulid("01arz3ndektsv4rrffq69g5fav"));
  EXPECT_TRUE(is_ulid("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
  EXPECT_FALSE(is_ulid("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"));  // more than 48 bits of time
  EXPECT_FALSE(is_ulid("01ARZ3NDEKTSV4RRFFQ69G5FA"));
  EXPECT_FALSE(is_ulid("01ARZ3NDEKTSV4RRFFQ69G5FAVV"));
  EXPECT_FALSE(is_ulid("01ARZ3NDEKTSV4RRFFQ69G5FAU"));
  EXPECT_FALSE(is_ulid("01ARZ3NDEKTSV4RRFFQ69G5F-V"));
  EXPECT_FALSE(is_ulid(""));
}

}  // namespace
}  // namespace chaos
