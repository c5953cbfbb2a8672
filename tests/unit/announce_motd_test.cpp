#include "announce/motd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <functional>
#include <thread>

#include "announce/text.h"
#include "base/unique_fd.h"
#include "tests/support/kernel_test.h"
#include "tests/support/temp_dir.h"

namespace chaos {
namespace {

namespace fs = std::filesystem;

/// What pam_motd would show; empty if it cannot open it.
std::string shown(const fs::path& entry) {
  const UniqueFd fd(::open(entry.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[4096];
  const ssize_t got = fd.valid() ? ::read(fd.get(), buffer, sizeof(buffer)) : 0;
  return {buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

/// A process that has done `job` and waits to be killed.
class Doomed {
 public:
  explicit Doomed(const std::function<void()>& job) {
    int ready[2];
    if (::pipe2(ready, O_CLOEXEC) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      job();
      (void)!::write(ready[1], "x", 1);
      while (true) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  Doomed(const Doomed&) = delete;
  Doomed& operator=(const Doomed&) = delete;
  ~Doomed() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  /// Kills it and waits for its end, but leaves it to be reaped.
  void kill() const {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  void reap() const { ::waitpid(pid_, nullptr, 0); }

 private:
  pid_t pid_ = -1;
};

struct MotdTest : testing::Test {
  MotdTest() {
    fs::create_directory(motd_dir);
    fs::create_directory(run);
  }
  test::TempDir files;
  fs::path motd_dir = files.path() / "motd.d";
  fs::path run = files.path() / "run";
  fs::path entry = motd_dir / "chaosd-blue";
};

TEST_F(MotdTest, ShowsTheLatestTextAndNothingAfterwards) {
  {
    Motd motd("blue", run, motd_dir);
    EXPECT_TRUE(motd.show("chaos\n"));
    EXPECT_EQ(shown(entry), "chaos\n");
    EXPECT_TRUE(motd.show("more chaos\n"));
    EXPECT_EQ(shown(entry), "more chaos\n");
    motd.hide();
    EXPECT_TRUE(fs::is_empty(motd_dir));
    EXPECT_TRUE(fs::is_empty(run));
    EXPECT_TRUE(motd.show("again\n"));
    EXPECT_EQ(shown(entry), "again\n");
  }
  EXPECT_TRUE(fs::is_empty(motd_dir));
  EXPECT_TRUE(fs::is_empty(run));
}

TEST_F(MotdTest, DefaultInstanceHasThePlainName) {
  Motd motd("default", run, motd_dir);
  EXPECT_TRUE(motd.show("chaos\n"));
  EXPECT_EQ(shown(motd_dir / "chaosd"), "chaos\n");
}

TEST_F(MotdTest, WithoutTheDirectoryNothingIsMade) {
  fs::remove(motd_dir);
  Motd motd("blue", run, motd_dir);
  EXPECT_TRUE(motd.show("chaos\n"));
  EXPECT_FALSE(fs::exists(motd_dir));
  EXPECT_TRUE(fs::is_empty(run));
}

TEST_F(MotdTest, EntriesOfOthersAreLeftAlone) {
  files.write("motd.d/chaosd-blue", "an admin's\n");
  files.write("motd", "an admin's\n");
  fs::create_symlink(files.path() / "motd", motd_dir / "chaosd");
  for (const auto& [instance, name] : {std::pair("blue", "chaosd-blue"), std::pair("default", "chaosd")}) {
    Motd motd(instance, run, motd_dir);
    const Status status = motd.show("chaos\n");
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Errc::kRefused);
    EXPECT_EQ(shown(motd_dir / name), "an admin's\n");
    motd.hide();
    EXPECT_EQ(shown(motd_dir / name), "an admin's\n");
  }
}

TEST_F(MotdTest, KilledProcessShowsNothingAndTheNextOneCleansUp) {
  const Doomed doomed([this] { EXPECT_TRUE((new Motd("blue", run, motd_dir))->show("chaos\n")); });
  EXPECT_EQ(shown(entry), "chaos\n");
  doomed.kill();
  doomed.reap();
  const UniqueFd fd(::open(entry.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(fs::is_symlink(entry)) << "dangling";
  const Motd next("blue", run, motd_dir);
  EXPECT_TRUE(fs::is_empty(motd_dir));
  EXPECT_TRUE(fs::is_empty(run));
}

TEST_F(MotdTest, ProcessWithThreadsShowsNothingEvenBeforeItIsReaped) {
  const Doomed doomed([this] {
    std::thread([] { ::pause(); }).detach();
    EXPECT_TRUE((new Motd("blue", run, motd_dir))->show("chaos\n"));
  });
  EXPECT_EQ(shown(entry), "chaos\n");
  doomed.kill();
  EXPECT_EQ(shown(entry), "");
}

TEST_F(MotdTest, LivingProcessKeepsItsEntry) {
  const Doomed other([this] { EXPECT_TRUE((new Motd("blue", run, motd_dir))->show("chaos\n")); });
  Motd motd("blue", files.path() / "elsewhere", motd_dir);
  EXPECT_FALSE(motd.show("mine\n"));
  motd.hide();
  EXPECT_EQ(shown(entry), "chaos\n");
}

TEST_F(MotdTest, EveryUserReadsIt) {
  CHAOS_NEEDS_ROOT();
  ::chmod(files.path().c_str(), 0755);
  const mode_t old = ::umask(077);
  Motd motd("blue", run, motd_dir);
  const Status status = motd.show("chaos\n");
  ::umask(old);
  ASSERT_TRUE(status);
  ::chmod(run.c_str(), 0755);
  ::chmod(motd_dir.c_str(), 0755);
  // As pam_motd does it (pam_modutil_drop_priv).
  constexpr uid_t kNobody = 65534;
  std::string text;
  std::thread([&] {
    ::setfsuid(kNobody);
    text = shown(entry);
  }).join();
  EXPECT_EQ(text, "chaos\n");
}

Announced loss(const std::string& target, bool shadow = false) {
  return {.kind = "packet_loss", .target = target, .ends_at = WallTime(std::chrono::seconds(60)), .shadow = shadow};
}

TEST(AnnounceText, MotdSaysWhatWhereUntilWhenAndHowToEndIt) {
  EXPECT_EQ(motd_text({{"1", loss("interface=eth1")}}, "default", "chaosctl"),
            "*** chaosd is breaking this host on purpose: 1 scenario active ***\n"
            "  packet_loss on interface=eth1 until 1970-01-01 00:01:00 UTC\n"
            "See `chaosctl list`; `chaosctl emergency-stop` ends all of it at once.\n");
  const std::string mixed = motd_text({{"1", loss("a=b")}, {"2", loss("c=d", true)}}, "blue", "chaosctl --socket /s");
  EXPECT_TRUE(mixed.contains("chaosd (blue) is breaking this host on purpose: 2 scenarios active")) << mixed;
  EXPECT_TRUE(mixed.contains("c=d until 1970-01-01 00:01:00 UTC (shadow: counts, does not act)")) << mixed;
  EXPECT_TRUE(mixed.contains("`chaosctl --socket /s list`")) << mixed;
}

TEST(AnnounceText, ShadowAloneBreaksNothing) {
  const std::string text = motd_text({{"1", loss("a=b", true)}}, "default", "chaosctl");
  EXPECT_TRUE(text.contains("1 scenario in shadow mode, nothing is broken")) << text;
  EXPECT_FALSE(text.contains("on purpose")) << text;
}

TEST(AnnounceText, MotdIsFitForATerminal) {
  const std::string text = motd_text({{"1", loss("a=\x1b[2J" + std::string(1000, 'x'))}}, "default", "chaosctl");
  EXPECT_FALSE(text.contains('\x1b')) << text;
  EXPECT_LT(text.size(), 600U);
  AnnouncedById many;
  for (int i = 0; i < 64; ++i) many[std::to_string(i)] = loss("a=b");
  const std::string list = motd_text(many, "default", "chaosctl");
  EXPECT_TRUE(list.contains("64 scenarios active")) << list;
  EXPECT_TRUE(list.contains("  and 54 more\n")) << list;
}

TEST(AnnounceText, StatusNamesEachKindOnce) {
  EXPECT_EQ(status_text({}), "0 scenarios active");
  EXPECT_EQ(status_text({{"1", loss("a=b")}}), "1 scenario active (packet_loss)");
  Announced other = loss("a=b");
  other.kind = "latency_injection";
  EXPECT_EQ(status_text({{"1", loss("a=b")}, {"2", other}, {"3", loss("c=d")}}),
            "3 scenarios active (latency_injection, packet_loss)");
}

}  // namespace
}  // namespace chaos
