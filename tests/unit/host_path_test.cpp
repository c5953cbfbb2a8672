// Paths below another root, compared with what a process in that root would find.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "kernel/host_path.h"
#include "support/temp_dir.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

class HostPath : public testing::Test {
 protected:
  HostPath() {
    fs::create_directories(dir_.path() / "root/a/b");
    dir_.write("root/a/b/file", "inside");
    dir_.write("outside", "");
    fs::create_symlink("/a/b", dir_.path() / "root/absolute");
    fs::create_symlink("../a/./b/../b", dir_.path() / "root/a/relative");
    fs::create_symlink("/../../outside", dir_.path() / "root/escape");
    fs::create_symlink("loop", dir_.path() / "root/loop");
    root_.reset(::open((dir_.path() / "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  /// The inode, or -errno.
  [[nodiscard]] long found(const std::string& path, int flags = O_PATH | O_CLOEXEC) const {
    const UniqueFd fd = open_within(root_.get(), path, flags);
    if (!fd.valid()) return -errno;
    struct stat about {};
    return ::fstat(fd.get(), &about) == 0 ? static_cast<long>(about.st_ino) : 0;
  }
  [[nodiscard]] long inode(const std::string& path) const {
    struct stat about {};
    return ::stat((dir_.path() / path).c_str(), &about) == 0 ? static_cast<long>(about.st_ino) : -1;
  }
  test::TempDir dir_;
  UniqueFd root_;
};

TEST_F(HostPath, LinksLeadWhereTheyLeadInThatRoot) {
  EXPECT_EQ(found("/a/b/file"), inode("root/a/b/file"));
  EXPECT_EQ(found("//a/./b//file"), inode("root/a/b/file"));
  EXPECT_EQ(found("/absolute/file"), inode("root/a/b/file"));
  EXPECT_EQ(found("/a/relative/file"), inode("root/a/b/file"));
  EXPECT_EQ(found("/absolute/../../a"), inode("root/a"));
  EXPECT_EQ(found("/"), inode("root"));
}

TEST_F(HostPath, NothingLeadsOutOfIt) {
  EXPECT_EQ(found("/.."), inode("root"));
  EXPECT_EQ(found("/../outside"), -ENOENT);
  EXPECT_EQ(found("/escape"), -ENOENT);
}

TEST_F(HostPath, WhatIsNotThereAndWhatNeverEndsAreErrors) {
  EXPECT_EQ(found("/a/c"), -ENOENT);
  EXPECT_EQ(found("/loop"), -ELOOP);
  EXPECT_EQ(found("/a/b/file/x"), -ENOTDIR);
}

TEST_F(HostPath, ADirectoryIsOpenedToBeReadAndAFileIsNone) {
  constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  EXPECT_EQ(found("/absolute", kDirectory), inode("root/a/b"));
  EXPECT_EQ(found("/a/b/file", kDirectory), -ENOTDIR);
}

}  // namespace
}  // namespace chaos
