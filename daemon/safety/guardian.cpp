#include "safety/guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "base/units.h"
#include "safety/heartbeat.h"
#include "safety/undo_replay.h"

namespace chaos {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kPeriod = 200ms;
/// A lease that has run out for longer than this belongs to a daemon that hangs.
constexpr std::chrono::milliseconds kGrace = 200ms;

struct Guarded {
  UniqueFd pidfd;
  UniqueFd ready;
  std::filesystem::path runtime_dir;
  std::string daemon = daemon_identity(runtime_dir);
};

UniqueFd take_fd(const std::map<std::string, std::string, std::less<>>& options, std::string_view name) {
  const auto it = options.find(name);
  const auto number = it == options.end() ? Result<std::uint64_t>(0) : parse_unsigned(it->second);
  UniqueFd fd(number && *number > 2 ? static_cast<int>(*number) : -1);
  if (fd.valid()) ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  return fd;
}

/// To stderr, which is chaosd's: the journal's under systemd. The prefix is its level there (sd-daemon(3)).
void say(const char* level, const std::string& text) {
  std::fprintf(stderr, "%schaosd guardian: %s\n", level, text.c_str());
}

void replay(const Guarded& guarded, ReplayMode mode, const char* why) {
  const auto done = replay_undo(guarded.runtime_dir, mode, "guardian", guarded.daemon);
  if (!done) return say("<3>", std::string(why) + ", and the undo journal cannot be replayed: " + done.error().message);
  for (const UndoReplay::Item& item : done->items) {
    const bool good = item.result.outcome != UndoOutcome::kFailed && item.result.outcome != UndoOutcome::kTheirs;
    say(good ? "<5>" : "<3>", std::string(why) + ": " + item.change + ": " +
                                  std::string(to_string(item.result.outcome)) +
                                  (item.result.detail.empty() ? "" : " (" + item.result.detail + ")"));
  }
  if (done->lost > 0) say("<3>", std::to_string(done->lost) + " records of the undo journal are unreadable");
}

/// As hard to kill as the host permits, and deaf to what stops chaosd (SIGABRT is systemd's watchdog, which goes to the
/// whole unit).
void harden() {
  ::setsid();
  for (const int signo : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGUSR1, SIGUSR2, SIGPIPE})
    std::signal(signo, SIG_IGN);
  // Never chosen by the OOM killer. Lowering it needs CAP_SYS_RESOURCE; without that it keeps chaosd's.
  std::ofstream("/proc/self/oom_score_adj") << "-1000";
  ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  ::prctl(PR_SET_NAME, "chaosd-guardian");
}

}  // namespace

int run_guardian(int argc, char** argv) {
  std::map<std::string, std::string, std::less<>> options;
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  Guarded guarded{take_fd(options, "--pidfd"), take_fd(options, "--ready"), options["--runtime-dir"]};
  UniqueFd page = take_fd(options, "--heartbeat");
  if (!guarded.pidfd.valid() || !guarded.ready.valid() || !page.valid() || guarded.runtime_dir.empty()) {
    std::fprintf(stderr, "chaosd guardian: chaosd starts it, nobody else does\n");
    return 2;
  }
  // What chaosd itself inherited without close-on-exec is nothing to keep open.
  (void)::close_range(static_cast<unsigned>(std::max({guarded.pidfd.get(), guarded.ready.get(), page.get()})) + 1,
                      std::numeric_limits<unsigned>::max(), 0);
  const auto heartbeat = Heartbeat::open(std::move(page));
  if (!heartbeat) {
    say("<3>", heartbeat.error().message);
    return 1;
  }
  harden();
  const auto now_ns = [] { return static_cast<std::uint64_t>(system_clock().monotonic().count()); };
  heartbeat->guardian_seen_ns().store(now_ns());
  const char ready = '1';
  if (::write(guarded.ready.get(), &ready, 1) != 1) return 1;
  guarded.ready.reset();

  std::uint64_t replayed_lease = 0;
  for (;;) {
    pollfd death{guarded.pidfd.get(), POLLIN, 0};
    if (::poll(&death, 1, static_cast<int>(kPeriod.count())) > 0) {
      replay(guarded, ReplayMode::kAfterDeath, "chaosd has ended");
      return 0;
    }
    const std::uint64_t lease = heartbeat->lease_until_ns().load();
    const std::uint64_t now = now_ns();
    heartbeat->guardian_seen_ns().store(now);
    if (lease == 0 || lease == replayed_lease || now < lease + std::chrono::nanoseconds(kGrace).count()) continue;
    replayed_lease = lease;
    replay(guarded, ReplayMode::kDuringHang, "chaosd hangs");
  }
}

}  // namespace chaos
