#include "support/halted.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <map>
#include <new>
#include <stdexcept>
#include <string>

#include "support/net.h"
#include "support/text_file.h"

namespace chaos::test {
namespace {

/// State and parent.
std::pair<char, pid_t> stat_of(const std::string& pid) {
  const std::string text = text_of("/proc/" + pid + "/stat");
  const std::size_t close = text.rfind(')');
  if (close == std::string::npos || close + 4 >= text.size()) return {'?', 0};
  return {text[close + 2], static_cast<pid_t>(std::stol(text.substr(close + 4)))};
}

}  // namespace

Busy::Busy(const TestCgroup& cgroup, bool forks)
    : child_(forks ? "/bin/sh" : "/bin/bash",
             {"sh", "-c",
              "echo $$ > " + (cgroup.directory() / "cgroup.procs").string() + " && cd " + dir_.path().string() +
                  " && exec 2>/dev/null && i=0; while :; do i=$((i+1)); echo $i > count; " +
                  (forks ? "sleep 0.02" : "read -r -t 0.02") + "; done"}) {
  if (!works_within(std::chrono::seconds(10))) throw std::runtime_error("no process works in " + cgroup.path());
}

std::string Busy::count() const { return text_of(dir_.path() / "count"); }

bool Busy::works_within(std::chrono::milliseconds time) const {
  const std::string before = count();
  return eventually(
      [&] {
        const std::string now = count();
        return !now.empty() && now != before;
      },
      time);
}

struct ClockWatcher::Page {
  std::atomic<std::int64_t> last_ns;
  std::atomic<std::int64_t> missed_ns;
};

ClockWatcher::ClockWatcher(const TestCgroup& cgroup) {
  void* memory = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no page to share");
  page_ = new (memory) Page{};
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  };
  page_->last_ns = now();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (std::int64_t last = now();;) {
      const std::int64_t next = now();
      if (next - last >= 1'000'000) page_->missed_ns += next - last;
      page_->last_ns = last = next;
    }
  }
  if (pid_ < 0) throw std::runtime_error("no process to watch the clock");
  cgroup.add(pid_);
}

ClockWatcher::~ClockWatcher() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  ::munmap(page_, sizeof(Page));
}

std::chrono::nanoseconds ClockWatcher::stood_still() const {
  const std::int64_t missed = page_->missed_ns.load();
  const std::int64_t last = page_->last_ns.load();
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  const std::int64_t open = time.tv_sec * 1'000'000'000 + time.tv_nsec - last;
  return std::chrono::nanoseconds(missed + (open >= 1'000'000 ? open : 0));
}

std::string value_of(const TestCgroup& cgroup, const std::string& file) { return text_of(cgroup.directory() / file); }

bool is_frozen(const TestCgroup& cgroup) { return value_of(cgroup, "cgroup.events").contains("frozen 1"); }

FrozenShare frozen_share(const TestCgroup& cgroup, std::chrono::milliseconds time) {
  using Clock = std::chrono::steady_clock;
  struct Look {
    bool told;
    bool stood;
  };
  const auto look = [&] { return Look{value_of(cgroup, "cgroup.freeze") == "1", is_frozen(cgroup)}; };
  const auto began = Clock::now();
  auto last = began;
  Clock::duration told{0};
  Clock::duration stood{0};
  // The time from one look to the next is what both say: a gap in which it changed is halved.
  for (Look was = look(); last < began + time;) {
    timespec pause{0, 300'000};
    nanosleep(&pause, nullptr);
    const Look is = look();
    const auto now = Clock::now();
    told += (now - last) * (static_cast<int>(is.told) + static_cast<int>(was.told)) / 2;
    stood += (now - last) * (static_cast<int>(is.stood) + static_cast<int>(was.stood)) / 2;
    was = is;
    last = now;
  }
  const std::chrono::duration<double> passed = last - began;
  return {std::chrono::duration<double>(told) / passed, std::chrono::duration<double>(stood) / passed};
}

char state_of(pid_t pid) { return stat_of(std::to_string(pid)).first; }

bool exists(pid_t pid) {
  const char state = state_of(pid);
  return state != '?' && state != 'Z' && state != 'X';
}

std::set<pid_t> tree_of(pid_t root) {
  std::multimap<pid_t, pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (!std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
    const auto [state, parent] = stat_of(name);
    if (state != '?' && state != 'Z') children.emplace(parent, static_cast<pid_t>(std::stol(name)));
  }
  std::set<pid_t> tree{root};
  for (std::set<pid_t> next = tree; !next.empty();) {
    std::set<pid_t> found;
    for (const pid_t parent : next) {
      const auto [first, last] = children.equal_range(parent);
      for (auto child = first; child != last; ++child) found.insert(child->second);
    }
    tree.insert(found.begin(), found.end());
    next = std::move(found);
  }
  return tree;
}

bool is_stopped(pid_t pid) {
  const char state = state_of(pid);
  if (state != 'D') return state == 'T';
  return std::ranges::any_of(tree_of(pid), [](pid_t below) { return state_of(below) == 'T'; });
}

bool all_in_state(const std::set<pid_t>& pids, char state) {
  return std::ranges::all_of(pids, [state](pid_t pid) { return state_of(pid) == state; });
}

}  // namespace chaos::test
