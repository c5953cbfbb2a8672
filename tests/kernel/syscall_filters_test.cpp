// Filters of syscall_failure: by path, as the caller sees it, by type of descriptor, by size. Observer: the process
// that calls. Where no hook of the kernel knows what a filter asks for, that is refused with the reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/contains.h"
#include "syscall_bed.h"

namespace chaos::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class SyscallFilters : public SyscallFailure {
 protected:
  void SetUp() override {
    SyscallFailure::SetUp();
    for (const char* directory : {"data", "data/deep", "database", "other", "root/data", "bound"}) {
      fs::create_directories(dir_.path() / directory);
      std::ofstream(dir_.path() / directory / "a.wal") << "x";
      std::ofstream(dir_.path() / directory / "a.log") << "x";
    }
    fs::create_directory_symlink(dir_.path() / "data", dir_.path() / "link");
    fs::create_symlink(dir_.path() / "data" / "a.log", dir_.path() / "other" / "to-data");
  }
  [[nodiscard]] std::string at(const std::string& name) const { return (dir_.path() / name).string(); }
  /// Begins to fail; empty where this kernel cannot do it and has said so.
  std::string begin_or_refuse(const json& parameters) {
    const Response planned = daemon_->post("/api/chaos/plan", failure(of_cgroup(), parameters));
    if (planned.status == 200) return begin(of_cgroup(), parameters);
    EXPECT_EQ(planned.status, 501) << planned.text;
    EXPECT_FALSE(contains(known_here(), "io_uring_read")) << "by security hooks as well: " << planned.text;
    EXPECT_THAT(planned.body.value("detail", ""), HasSubstr("security hook")) << planned.text;
    return {};
  }
  [[nodiscard]] bool opens(const Caller& caller, const std::string& directory, const std::string& name) const {
    const int error = caller.open_at(directory, name);
    EXPECT_TRUE(error == 0 || error == kError) << directory << " " << name << " " << error;
    return error == 0;
  }
  TempDir dir_;
};

TEST_F(SyscallFilters, BelowADirectory) {
  const std::string id = begin_or_refuse({{"syscalls", "openat"}, {"path", at("data")}});
  if (id.empty()) return;
  EXPECT_FALSE(opens(*victim_, at("data"), "a.log"));
  EXPECT_FALSE(opens(*victim_, at("data/deep"), "a.wal"));
  EXPECT_FALSE(opens(*victim_, at("data"), at("data/a.log")));
  // Relative, by a link to the directory, by a link to the file.
  EXPECT_FALSE(opens(*victim_, at("other"), "../data/a.log"));
  EXPECT_FALSE(opens(*victim_, at("link"), "a.log"));
  EXPECT_FALSE(opens(*victim_, at("other"), "to-data"));
  // Its name goes on.
  EXPECT_TRUE(opens(*victim_, at("database"), "a.log"));
  EXPECT_TRUE(opens(*victim_, at("other"), "a.log"));
  EXPECT_TRUE(opens(neighbour_, at("data"), "a.log"));
  EXPECT_EQ(Sums(end(id)).injected, 6U);
  EXPECT_TRUE(opens(*victim_, at("data"), "a.log"));
}

TEST_F(SyscallFilters, ByAPattern) {
  const std::string id = begin_or_refuse({{"syscalls", "openat"}, {"path", at("dat*.w?l")}});
  if (id.empty()) return;
  EXPECT_FALSE(opens(*victim_, at("data"), "a.wal"));
  EXPECT_FALSE(opens(*victim_, at("data/deep"), "a.wal"));
  EXPECT_FALSE(opens(*victim_, at("database"), "a.wal"));
  EXPECT_TRUE(opens(*victim_, at("data"), "a.log"));
  EXPECT_TRUE(opens(*victim_, at("other"), "a.wal"));
  EXPECT_EQ(Sums(end(id)).injected, 3U);
}

TEST_F(SyscallFilters, AsTheCallerSeesIt) {
  const Caller bound({.bind = {at("data"), at("bound")}});
  const Caller rooted({.root = at("root")});
  for (const Caller* caller : {&bound, &rooted}) cgroup_->add(caller->pid());
  const std::string by_mount = begin_or_refuse({{"syscalls", "openat"}, {"path", at("bound")}});
  if (by_mount.empty()) return;
  EXPECT_FALSE(opens(bound, at("bound"), "a.log"));
  EXPECT_TRUE(opens(bound, at("data"), "a.log"));
  EXPECT_FALSE(opens(*victim_, at("bound"), "a.log"));
  (void)end(by_mount);
  const std::string by_root = begin_or_refuse({{"syscalls", "openat"}, {"path", "/data"}});
  EXPECT_FALSE(opens(rooted, "/data", "a.log"));
  EXPECT_TRUE(opens(*victim_, at("data"), "a.log"));
  (void)end(by_root);
}

TEST_F(SyscallFilters, ByTypeOfDescriptorAndBySize) {
  const std::string by_type = begin_or_refuse({{"syscalls", "read,write"}, {"fd_type", "regular,pipe"}});
  if (by_type.empty()) return;
  for (const char* call : {"read", "write"}) {
    EXPECT_EQ(victim_->transfer(call, "regular", 10), kError) << call;
    EXPECT_EQ(victim_->transfer(call, "pipe", 10), kError) << call;
    EXPECT_EQ(victim_->transfer(call, "socket", 10), 0) << call;
    EXPECT_EQ(neighbour_.transfer(call, "regular", 10), 0) << call;
  }
  EXPECT_EQ(Sums(end(by_type)).injected, 4U);
  const std::string by_size = begin_or_refuse({{"syscalls", "read,write"}, {"min_size", "512"}});
  for (const char* call : {"read", "write"}) {
    EXPECT_EQ(victim_->transfer(call, "pipe", 512), kError) << call;
    EXPECT_EQ(victim_->transfer(call, "pipe", 511), 0) << call;
  }
  EXPECT_EQ(Sums(end(by_size)).injected, 2U);
}

}  // namespace
}  // namespace chaos::test
