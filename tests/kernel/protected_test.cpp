// The protected traffic of a real sshd, with a real client, in a network namespace of the test's own.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/unique_fd.h"
#include "kernel/proc_tree.h"
#include "safety/protected.h"
#include "tests/support/child.h"
#include "tests/support/kernel_test.h"
#include "tests/support/shell.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kSshd = "/usr/sbin/sshd";
constexpr std::array<std::uint8_t, 16> kLoopback = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};

bool connects(std::uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// False if the server ends first.
bool wait_for_port(const test::Child& server, std::uint16_t port) {
  constexpr int kPauseMs = 5;
  while (!connects(port)) {
    if (!server.running()) return false;
    ::poll(nullptr, 0, kPauseMs);
  }
  return true;
}

class ProtectedKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    if (::access(kSshd, X_OK) != 0) CHAOS_CANNOT_RUN("no /usr/sbin/sshd (package openssh-server)");
    // sshd insists on /run/sshd; a /run of its own leaves the host's alone.
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", "/run", "tmpfs", 0, "mode=755") != 0) {
      CHAOS_CANNOT_RUN("unshare: " << errno_name(errno));
    }
    std::filesystem::create_directory("/run/sshd");
    const std::string dir = files_.path().string();
    const Status ready = test::run(
        fmt::format("ip link set lo up && ssh-keygen -q -t ed25519 -N '' -f {0}/host && ssh-keygen -q -t ed25519 -N ''"
                    " -f {0}/user && cp {0}/user.pub {0}/authorized",
                    dir));
    ASSERT_TRUE(ready) << ready.error().message;
    config_ =
        files_.write("sshd_config", fmt::format("Port 2201\nPort 2202\nListenAddress 127.0.0.1\nHostKey {0}/host\n"
                                                "AuthorizedKeysFile {0}/authorized\nStrictModes no\nUsePAM no\n"
                                                "PermitRootLogin yes\nPidFile none\n",
                                                dir));
  }
  void TearDown() override { ::umount("/run"); }

  /// Ends with the test even if that is killed.
  void start_sshd() {
    sshd_.emplace("/usr/bin/setpriv",
                  std::vector<std::string>{"setpriv", "--pdeathsig", "KILL", kSshd, "-D", "-f", config_.string()});
    ASSERT_TRUE(wait_for_port(*sshd_, 2201));
    ASSERT_TRUE(wait_for_port(*sshd_, 2202));
  }
  [[nodiscard]] std::unique_ptr<test::Child> log_in(const std::string& command) const {
    return std::make_unique<test::Child>(
        "/usr/bin/ssh",
        std::vector<std::string>{"ssh", "-F", "none", "-p", "2202", "-i", (files_.path() / "user").string(), "-o",
                                 "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
                                 "LogLevel=ERROR", "root@127.0.0.1", command});
  }

  test::TempDir files_;
  std::filesystem::path config_;
  std::optional<test::Child> sshd_;
};

TEST_F(ProtectedKernelTest, FindsWhereSshdReallyListensAndInWhichNamespace) {
  ASSERT_NO_FATAL_FAILURE(start_sshd());
  const auto listeners = find_ssh_listeners({});
  ASSERT_TRUE(listeners) << listeners.error().message;
  const auto own = proc::network_namespace("/proc", ::getpid());
  std::vector<std::uint16_t> here;
  for (const SshListener& listener : *listeners) {
    if (listener.netns == own) here.push_back(listener.port);
  }
  EXPECT_THAT(here, ElementsAre(2201, 2202));
  const auto traffic = find_protected_traffic(std::nullopt);
  ASSERT_TRUE(traffic);
  EXPECT_THAT(traffic->ssh_ports, testing::IsSupersetOf({22, 2201, 2202}));
  EXPECT_THAT(traffic->flows, IsEmpty());
}

TEST_F(ProtectedKernelTest, FindsTheConnectionThatACallerCameInBy) {
  ASSERT_NO_FATAL_FAILURE(start_sshd());
  const auto session = log_in("echo $$ $SSH_CONNECTION; read line");
  const std::string line = session->read_line();  // PID CLIENT PORT SERVER PORT
  pid_t shell = 0;
  unsigned client_port = 0;
  ASSERT_EQ(std::sscanf(line.c_str(), "%d 127.0.0.1 %u", &shell, &client_port), 2) << line;

  const auto flows = find_caller_flows(shell, {});
  ASSERT_TRUE(flows) << flows.error().message;
  EXPECT_THAT(*flows, ElementsAre(FlowTuple{kLoopback, 2202, kLoopback, static_cast<std::uint16_t>(client_port)}));
}

}  // namespace
}  // namespace chaos
