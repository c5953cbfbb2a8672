#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "kernel/proc_tree.h"
#include "safety/protected.h"
#include "tests/support/proc_fixture.h"

namespace chaos {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kHeading =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

std::string row(const std::string& local, const std::string& remote, const char* state, std::uint64_t inode) {
  return "   0: " + local + " " + remote + " " + state + " 00000000:00000000 00:00000000 00000000     0        0 " +
         std::to_string(inode) + " 1 0000000000000000 100 0 0 10 0\n";
}

std::array<std::uint8_t, 16> v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
}

// 0x16 = 22, 0x8AE = 2222, 0x1F90 = 8080, 0xC350 = 50000
class ProtectedTest : public testing::Test {
 protected:
  [[nodiscard]] ProtectedSources sources() const {
    return {.proc = proc_.root(), .ssh_dir = etc_.path() / "ssh", .unit_dirs = {etc_.path() / "a", etc_.path() / "b"}};
  }
  void add_namespace(pid_t pid, const char* inode) const {
    proc_.link(pid, "ns/net", std::string("net:[") + inode + "]");
  }

  test::ProcFixture proc_;
  test::TempDir etc_;
};

TEST(TcpRow, ReadsV4AsMappedAndPortsAsHostOrder) {
  const auto parsed = proc::parse_tcp_row(row("0100007F:0016", "0A00000A:C350", "01", 777));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->local_address, v4(127, 0, 0, 1));
  EXPECT_EQ(parsed->local_port, 22);
  EXPECT_EQ(parsed->remote_address, v4(10, 0, 0, 10));
  EXPECT_EQ(parsed->remote_port, 50000);
  EXPECT_EQ(parsed->state, 1);
  EXPECT_EQ(parsed->inode, 777U);
}

TEST(TcpRow, ReadsV6WordByWord) {
  const auto parsed = proc::parse_tcp_row(
      row("B80D0120000000000000000001000000:0016", "0000000000000000FFFF00000A00000A:C350", "0A", 1));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->local_address,
            (std::array<std::uint8_t, 16>{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(parsed->remote_address, v4(10, 0, 0, 10));
}

TEST(TcpRow, RefusesWhatIsNoRow) {
  EXPECT_FALSE(proc::parse_tcp_row(kHeading));
  EXPECT_FALSE(proc::parse_tcp_row(""));
  EXPECT_FALSE(proc::parse_tcp_row("0: 0100007F:0016 0A00000A:C350 01"));
  EXPECT_FALSE(proc::parse_tcp_row(row("0100007F:XX16", "0A00000A:C350", "01", 1)));
  EXPECT_FALSE(proc::parse_tcp_row(row("0100007:0016", "0A00000A:C350", "01", 1)));
  EXPECT_FALSE(proc::parse_tcp_row(row("0100007F:0016", "0A00000A:C350", "zz", 1)));
}

TEST(ProcessStat, CommMayHoldBlanksAndParentheses) {
  const test::ProcFixture tree;
  tree.write(7, "stat", "7 (a) b) (c) R 3 1 1\n");
  const auto stat = proc::process_stat(tree.root(), 7);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->comm, "a) b) (c");
  EXPECT_EQ(stat->state, 'R');
  EXPECT_EQ(stat->parent, 3);
  tree.write(8, "stat", "8 truncated");
  EXPECT_FALSE(proc::process_stat(tree.root(), 8));
  EXPECT_FALSE(proc::process_stat(tree.root(), 9));
}

TEST(SocketLink, GivesTheInode) {
  EXPECT_EQ(proc::inode_of("socket:[12]", "socket"), 12U);
  EXPECT_FALSE(proc::inode_of("pipe:[12]", "socket"));
  EXPECT_FALSE(proc::inode_of("socket:[12", "socket"));
  EXPECT_FALSE(proc::inode_of("socket:[]", "socket"));
}

TEST_F(ProtectedTest, ListenersAreSshdsOwnListeningSockets) {
  proc_.add_process(10, "sshd", 1);
  proc_.add_socket(10, 3, 100);
  proc_.add_socket(10, 4, 101);
  proc_.add_socket(10, 5, 102);
  add_namespace(10, "4026531840");
  proc_.write(10, "net/tcp",
              kHeading + row("00000000:08AE", "00000000:0000", "0A", 100) +  // its own
                  row("00000000:1F90", "00000000:0000", "0A", 555) +         // somebody else's
                  row("0100007F:0016", "0A00000A:C350", "01", 102));         // its own, but established
  proc_.write(
      10, "net/tcp6",
      kHeading + row("00000000000000000000000000000000:0016", "00000000000000000000000000000000:0000", "0A", 101));
  const auto listeners = find_ssh_listeners(sources());
  ASSERT_TRUE(listeners) << listeners.error().message;
  EXPECT_THAT(*listeners, ElementsAre(SshListener{4026531840, 22}, SshListener{4026531840, 2222}));
}

TEST_F(ProtectedTest, RenamedProcessIsKnownByItsExecutableEvenIfThatWasReplaced) {
  proc_.add_process(10, "ssh-main", 1);
  proc_.link(10, "exe", "/usr/sbin/sshd (deleted)");
  proc_.add_socket(10, 3, 100);
  add_namespace(10, "5");
  proc_.write(10, "net/tcp", kHeading + row("00000000:08AE", "00000000:0000", "0A", 100));
  EXPECT_THAT(*find_ssh_listeners(sources()), ElementsAre(SshListener{5, 2222}));
}

TEST_F(ProtectedTest, OtherProcessesListenersDoNotCount) {
  proc_.add_process(10, "sshd-like", 1);
  proc_.add_socket(10, 3, 100);
  proc_.write(10, "net/tcp", kHeading + row("00000000:08AE", "00000000:0000", "0A", 100));
  EXPECT_THAT(*find_ssh_listeners(sources()), IsEmpty());
}

TEST_F(ProtectedTest, SshdWhoseSocketsCannotBeReadIsAnErrorAZombieIsNot) {
  proc_.add_process(10, "sshd", 1, {}, 'Z');
  proc_.add_socket(10, 3, 100);
  EXPECT_TRUE(find_ssh_listeners(sources()));
  proc_.add_process(11, "sshd", 1);
  proc_.add_socket(11, 3, 100);
  std::filesystem::create_directories(proc_.directory(11) / "net" / "tcp");
  const auto failed = find_ssh_listeners(sources());
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("sockets of sshd"));
}

TEST_F(ProtectedTest, MissingProcIsAnError) {
  ProtectedSources none = sources();
  none.proc = etc_.path() / "no-proc";
  EXPECT_FALSE(find_ssh_listeners(none));
  EXPECT_FALSE(find_protected_traffic(std::nullopt, none));
}

TEST_F(ProtectedTest, PortTwentyTwoIsAlwaysSsh) { EXPECT_THAT(configured_ssh_ports(sources()), ElementsAre(22)); }

TEST_F(ProtectedTest, ReadsPortsFromSshdConfigAndItsDropIns) {
  etc_.write("ssh/sshd_config",
             "# Port 1\n"
             "Port 2222\n"
             "  port\t2223   # second\n"
             "PORT=2224\n"
             "ListenAddress 10.0.0.1\n"
             "ListenAddress 10.0.0.1:2225\n"
             "ListenAddress [fd00::1]:2226 rdomain x\n"
             "ListenAddress [fd00::2]\n"
             "ListenAddress fd00::2227\n"
             "ListenAddress host.example:2228\n"
             "PortForwarding 9\n"
             "Port 70000\n"
             "Port abc\n"
             "Port");
  etc_.write("ssh/sshd_config.d/50-cloud.conf", "Port \"2230\"\r\n");
  etc_.write("ssh/sshd_config.d/old.bak", "Port 9999\n");
  EXPECT_THAT(configured_ssh_ports(sources()), ElementsAre(22, 2222, 2223, 2224, 2225, 2226, 2228, 2230));
}

TEST_F(ProtectedTest, ReadsPortsFromSocketUnitsAndTheirDropIns) {
  etc_.write("a/ssh.socket", "[Socket]\nListenStream=2301\nListenStream=[::]:2302\nAccept=yes\n");
  etc_.write("b/sshd.socket.d/override.conf", "[Socket]\nListenStream=\nListenStream = 0.0.0.0:2303\n");
  etc_.write("a/ssh.socket.d/unix.conf", "[Socket]\nListenStream=/run/sshd.sock\n");
  EXPECT_THAT(configured_ssh_ports(sources()), ElementsAre(22, 2301, 2302, 2303));
}

TEST_F(ProtectedTest, CallersFlowsAreThoseOfItsSshdAncestors) {
  proc_.add_process(1, "init", 0);
  proc_.add_process(10, "sshd", 1);  // the listener
  proc_.add_socket(10, 3, 100);
  proc_.write(10, "net/tcp", kHeading + row("00000000:0016", "00000000:0000", "0A", 100));
  proc_.add_process(20, "sshd-session", 10);
  proc_.add_socket(20, 4, 200);
  const std::string connections = kHeading + row("0200000A:0016", "0A00000A:C350", "01", 200) +
                                  row("0200000A:0016", "0B00000A:C351", "01", 201);  // another session
  proc_.write(20, "net/tcp", connections);
  proc_.add_process(21, "sshd-session", 20);  // the user's half holds the same socket
  proc_.add_socket(21, 4, 200);
  proc_.write(21, "net/tcp", connections);
  proc_.add_process(30, "bash", 21);
  proc_.add_process(31, "chaosctl", 30);

  const auto flows = find_caller_flows(31, sources());
  ASSERT_TRUE(flows) << flows.error().message;
  EXPECT_THAT(*flows, ElementsAre(FlowTuple{v4(10, 0, 0, 2), 22, v4(10, 0, 0, 10), 50000}));
  EXPECT_EQ(*find_caller_flows(21, sources()), *flows) << "a forwarded Unix socket: sshd itself is the caller";
}

TEST_F(ProtectedTest, CallerWithoutSshReadsNoConnectionTable) {
  proc_.add_process(30, "bash", 1);
  std::filesystem::create_directories(proc_.directory(30) / "net" / "tcp");  // would fail if it were read
  EXPECT_THAT(*find_caller_flows(30, sources()), IsEmpty());
  EXPECT_THAT(*find_caller_flows(0, sources()), IsEmpty());
  EXPECT_THAT(*find_caller_flows(999, sources()), IsEmpty());
}

TEST_F(ProtectedTest, ParentsInALoopEnd) {
  proc_.add_process(30, "bash", 31);
  proc_.add_process(31, "bash", 30);
  EXPECT_THAT(*find_caller_flows(30, sources()), IsEmpty());
}

TEST_F(ProtectedTest, TrafficJoinsConfiguredAndRealPortsWithTheCallersFlows) {
  etc_.write("ssh/sshd_config", "Port 2300\n");
  proc_.add_process(10, "sshd", 1);
  proc_.add_socket(10, 3, 100);
  proc_.add_socket(10, 4, 101);
  proc_.write(
      10, "net/tcp",
      kHeading + row("00000000:08AE", "00000000:0000", "0A", 100) + row("0200000A:08AE", "0A00000A:C350", "01", 101));
  proc_.add_process(20, "bash", 10);
  const auto with_caller = find_protected_traffic(20, sources());
  ASSERT_TRUE(with_caller);
  EXPECT_THAT(with_caller->ssh_ports, ElementsAre(22, 2222, 2300));
  EXPECT_EQ(with_caller->flows.size(), 1U);
  EXPECT_THAT(find_protected_traffic(std::nullopt, sources())->flows, IsEmpty());
}

}  // namespace
}  // namespace chaos
