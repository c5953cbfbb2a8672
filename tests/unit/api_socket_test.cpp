#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "api/unix_socket.h"
#include "api_support.h"
#include "tests/support/kernel_test.h"

namespace chaos::test {
namespace {

mode_t mode_of(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

struct UnixSocket : testing::Test {
  TempDir directory;
  std::string path = directory.path() / "test.sock";
};

TEST_F(UnixSocket, IsMadeWithModeAndListens) {
  const auto listener = bind_unix_socket(path, 0600, "");
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_TRUE(RawClient(path).connected());
}

TEST_F(UnixSocket, WithoutItsGroupIsClosedToGroups) {
  const auto listener = bind_unix_socket(path, 0660, "no-such-group-for-chaosd");
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  EXPECT_EQ(mode_of(path), 0600U);
}

TEST_F(UnixSocket, GoesToItsGroup) {
  CHAOS_NEEDS_ROOT();  // to give a file to a group
  const auto listener = bind_unix_socket(path, 0660, "daemon");
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  struct stat info {};
  ASSERT_EQ(::lstat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_gid, RoleGroups::look_up("daemon", "").operate);
  EXPECT_EQ(info.st_mode & 07777, 0660U);
}

TEST_F(UnixSocket, IsRemovedAtTheEnd) {
  { const auto listener = bind_unix_socket(path, 0600, ""); }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(UnixSocket, ReplacesStaleOne) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto dead = bind_unix_socket(path, 0600, "");
    ::_exit(dead.has_value() ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(std::filesystem::exists(path)) << "as kill -9 leaves it";
  ASSERT_FALSE(RawClient(path).connected());
  const auto fresh = bind_unix_socket(path, 0600, "");
  ASSERT_TRUE(fresh.has_value()) << fresh.error().message;
  EXPECT_TRUE(RawClient(path).connected());
}

TEST_F(UnixSocket, DoesNotRemoveItsSuccessor) {
  auto first = bind_unix_socket(path, 0600, "");
  ASSERT_TRUE(first.has_value());
  std::filesystem::remove(path);
  const auto second = bind_unix_socket(path, 0600, "");
  ASSERT_TRUE(second.has_value());
  { const auto gone = std::move(*first); }
  EXPECT_TRUE(RawClient(path).connected());
}

TEST_F(UnixSocket, RefusesWhereSomebodyAnswers) {
  const auto first = bind_unix_socket(path, 0600, "");
  ASSERT_TRUE(first.has_value());
  const auto second = bind_unix_socket(path, 0600, "");
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::kRefused);
  EXPECT_NE(second.error().message.find(path), std::string::npos);
  EXPECT_TRUE(RawClient(path).connected()) << "the first one lives on";
}

TEST_F(UnixSocket, LeavesOtherFilesAlone) {
  directory.write("test.sock", "precious");
  const auto listener = bind_unix_socket(path, 0600, "");
  ASSERT_FALSE(listener.has_value());
  EXPECT_EQ(listener.error().code, Errc::kInvalid);
  std::string text;
  std::getline(std::ifstream(path), text);
  EXPECT_EQ(text, "precious");
}

TEST_F(UnixSocket, RefusesImpossiblePaths) {
  for (const std::string& bad : {std::string(), std::string(108, 'x')}) {
    const auto listener = bind_unix_socket(bad, 0600, "");
    ASSERT_FALSE(listener.has_value());
    EXPECT_EQ(listener.error().code, Errc::kInvalid);
    EXPECT_EQ(listener.error().field, "socket");
  }
  EXPECT_FALSE(bind_unix_socket(directory.path() / "no-such-dir" / "s", 0600, "").has_value());
}

TEST_F(UnixSocket, AdoptsInheritedOne) {
  auto made = bind_unix_socket(path, 0600, "");
  ASSERT_TRUE(made.has_value());
  {
    const auto adopted = UnixListener::adopt(UniqueFd(::dup(made->fd())));
    ASSERT_TRUE(adopted.has_value()) << adopted.error().message;
    EXPECT_EQ(adopted->path(), "");
  }
  EXPECT_TRUE(std::filesystem::exists(path)) << "systemd's socket is systemd's to remove";
}

TEST_F(UnixSocket, AdoptsNothingElse) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()), 0);
  const UniqueFd other(pair[1]);
  const auto connected = UnixListener::adopt(UniqueFd(pair[0]));
  ASSERT_FALSE(connected.has_value());
  EXPECT_EQ(connected.error().code, Errc::kInvalid);
  EXPECT_FALSE(UnixListener::adopt(UniqueFd(::dup(STDIN_FILENO))).has_value());
  EXPECT_FALSE(UnixListener::adopt(UniqueFd(::socket(AF_INET, SOCK_STREAM, 0))).has_value());
}

}  // namespace
}  // namespace chaos::test
