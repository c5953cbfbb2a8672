// Cgroups of the v2 tree, wherever this host has it: alone, or beside v1. Any thread; no privilege needed to look.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

struct Cgroup {
  std::string path;      ///< from the root of the tree: "/system.slice/x.service"
  std::uint64_t id = 0;  ///< inode number: its identity while it lives (a cgroup that is made anew is another)
  unsigned level = 0;    ///< depth below the root, which is 0
  friend bool operator==(const Cgroup&, const Cgroup&) = default;
};

class CgroupTree {
 public:
  /// By the mount table. Error: kUnsupported if no v2 tree is mounted.
  static Result<CgroupTree> find(const std::filesystem::path& mounts = "/proc/self/mounts");

  /// `path` from the root of the tree, with or without the mount point in front. Errors: kInvalid (not absolute, "..",
  /// the root itself), kNotFound.
  [[nodiscard]] Result<Cgroup> get(std::string_view path) const;
  /// The same cgroup, as a directory. Error: kNotFound if it is gone or another has its place.
  [[nodiscard]] Result<UniqueFd> open(const Cgroup& cgroup) const;
  /// Ids of the cgroup and of all below it now. Those that go meanwhile may be missing.
  [[nodiscard]] std::set<std::uint64_t> ids_within(const Cgroup& cgroup) const;
  /// The root itself, which get() refuses as a target. Error: kInternal.
  [[nodiscard]] Result<Cgroup> root() const;
  [[nodiscard]] Result<UniqueFd> open_root() const;
  [[nodiscard]] const std::filesystem::path& mount_point() const { return mount_point_; }

 private:
  explicit CgroupTree(std::filesystem::path mount_point) : mount_point_(std::move(mount_point)) {}
  std::filesystem::path mount_point_;
};

}  // namespace chaos
