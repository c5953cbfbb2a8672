// Against a socket of the test's own in the place of journald.
#include "store/audit_journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>

#include "store_audit_support.h"

namespace chaos {
namespace {

using test::audit_example;
using testing::HasSubstr;
using testing::Not;

class AuditJournalTest : public testing::Test {
 protected:
  void listen() {
    fd_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.native().size());
    ASSERT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  [[nodiscard]] std::string receive() const {
    std::array<char, 64 * 1024> buffer{};
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return got < 0 ? "" : "\n" + std::string(buffer.data(), static_cast<std::size_t>(got));
  }
  [[nodiscard]] AuditJournal journal() const { return std::move(AuditJournal::open("chaosd-blue", path_).value()); }

  test::TempDir directory_;
  std::filesystem::path path_ = directory_.path() / "socket";
  UniqueFd fd_;
};

AuditEntry chained() {
  AuditEntry entry = audit_example();
  entry.seq = 7;
  entry.hash = audit_hash(kAuditGenesis, entry);
  return entry;
}

TEST_F(AuditJournalTest, EntryHasItsFields) {
  listen();
  const AuditEntry entry = chained();
  EXPECT_TRUE(journal().write(entry));
  const std::string got = receive();
  for (const std::string& line :
       {std::string("MESSAGE_ID=2df3b76f18784a559df94a254ef055f5"), std::string("CHAOS_AUDIT_SEQ=7"),
        "CHAOS_AUDIT_HASH=" + to_hex(*entry.hash), std::string("CHAOS_ACTION=start_scenario"),
        std::string("CHAOS_UID=1000"), std::string("CHAOS_LOGIN_UID=1001"), std::string("CHAOS_COMM=chaosctl"),
        std::string("CHAOS_REQUEST_ID=01HF0000000000000000000000"),
        std::string("CHAOS_SCENARIO_ID=01HF0000000000000000000001"), std::string("CHAOS_STATUS=409"),
        std::string("PRIORITY=4"), std::string("SYSLOG_IDENTIFIER=chaosd-blue"),
        "MESSAGE=audit 7: start_scenario by sre (uid 1000): 409: " + entry.detail}) {
    EXPECT_THAT(got, HasSubstr("\n" + line + "\n"));
  }
}

TEST_F(AuditJournalTest, FieldsThatTheEntryHasNotAreLeftOut) {
  listen();
  AuditEntry entry = chained();
  entry.login_uid.reset();
  entry.scenario_id.clear();
  entry.status = 200;
  EXPECT_TRUE(journal().write(entry));
  const std::string got = receive();
  EXPECT_THAT(got, HasSubstr("\nPRIORITY=5\n"));
  EXPECT_THAT(got, Not(HasSubstr("CHAOS_LOGIN_UID")));
  EXPECT_THAT(got, Not(HasSubstr("CHAOS_SCENARIO_ID")));
}

TEST_F(AuditJournalTest, LineBreaksForgeNoField) {
  listen();
  AuditEntry entry = chained();
  entry.detail.clear();
  entry.comm = "x\nPRIORITY=0\nCHAOS_UID=0";
  EXPECT_TRUE(journal().write(entry));
  // Name, line break, 64 bits of length, value, line break.
  EXPECT_THAT(receive(), HasSubstr("\nCHAOS_COMM\n" + std::string("\x18\0\0\0\0\0\0\0", 8) + entry.comm + "\n"));
}

TEST_F(AuditJournalTest, WithoutJournaldItReturns) {
  const auto status = journal().write(chained());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().sys_errno, ENOENT);
  listen();
  fd_.reset();
  EXPECT_EQ(journal().write(chained()).error().sys_errno, ECONNREFUSED);
}

// A journald that hangs. sd_journal_send(3) would wait in the first send that does not fit.
TEST_F(AuditJournalTest, NeverWaitsForAJournaldThatDoesNotRead) {
  listen();
  const AuditJournal to = journal();
  Status status;
  int sent = 0;
  while (sent < 100'000 && (status = to.write(chained()))) ++sent;
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().sys_errno, EAGAIN);
  EXPECT_NE(receive(), "");
  EXPECT_TRUE(to.write(chained())) << "and goes on when it reads again";
}

}  // namespace
}  // namespace chaos
