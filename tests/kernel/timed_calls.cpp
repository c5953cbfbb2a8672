#include "timed_calls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>
#include <limits>
#include <new>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "support/net.h"

namespace chaos::test {
namespace {

constexpr std::array<std::string_view, 5> kCalls{"openat", "connect", "fsync", "pwrite64", "pause"};

std::uint64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

void pause_for(long us) {
  const timespec time{us / 1'000'000, us % 1'000'000 * 1000};
  nanosleep(&time, nullptr);
}

/// Between processes, which std::atomic's own wait is not.
void await_another(const std::atomic<std::uint32_t>& word, std::uint32_t than) {
  (void)syscall(SYS_futex, &word, FUTEX_WAIT, than, nullptr, nullptr, 0);
}

void give_order(std::atomic<std::uint32_t>& word) {
  word.fetch_add(1);
  (void)syscall(SYS_futex, &word, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

}  // namespace

TimedCalls::TimedCalls() {
  void* memory = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory");
  page_ = new (memory) Page{};
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("no process");
  if (pid_ > 0) {
    // All that it needs is there before it is anybody's target.
    if (!eventually([&] { return page_->ready.load() == kMostThreads; }, std::chrono::seconds(60))) {
      throw std::runtime_error("the process does not become ready");
    }
    return;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  live(dir_.path().string());
}

TimedCalls::~TimedCalls() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  munmap(page_, sizeof(Page));
}

void TimedCalls::live(const std::string& dir) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kMostThreads; ++i) threads.emplace_back([this, i, dir] { work(i, dir); });
  go_round();
  _exit(0);
}

/// All its descriptors are there before anything waits.
void TimedCalls::work(int thread, const std::string& dir) {
  const std::string path = dir + "/" + std::to_string(thread);
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const std::array<char, 512> bytes{};
  Page::Thread& own = page_->threads[thread];
  page_->ready.fetch_add(1);
  for (;;) {
    const std::uint32_t order = page_->order.load();
    const std::uint32_t call = page_->call.load();
    if (call == 0 || thread >= page_->active.load() || page_->begun.fetch_add(1) >= page_->limit.load()) {
      await_another(page_->order, order);
      continue;
    }
    const std::uint64_t began = now_ns();
    own.began_ns.store(began);
    if (call == 1) {
      const long fd = syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY, 0);
      own.began_ns.store(0);
      if (fd >= 0) close(static_cast<int>(fd));
    } else if (call == 2) {
      (void)syscall(SYS_connect, datagrams, &to, sizeof(to));
    } else if (call == 3) {
      (void)syscall(SYS_fsync, file);
    } else if (call == 4) {
      (void)syscall(SYS_pwrite64, file, bytes.data(), bytes.size(), 0);
    } else {
      pause_for(page_->pause_us.load());
    }
    const auto took = static_cast<std::uint32_t>((now_ns() - began) / 1000);
    own.began_ns.store(0);
    own.done.fetch_add(1);
    // Noted once it is there to be read.
    const std::uint32_t place = page_->places.fetch_add(1);
    if (place < std::size(page_->took_us)) page_->took_us[place].store(took);
    page_->noted.fetch_add(1);
  }
}

void TimedCalls::go_round() {
  std::uint64_t last = now_ns();
  for (;;) {
    const std::uint32_t order = page_->order.load();
    if (page_->call.load() == 0) {
      await_another(page_->order, order);
      last = now_ns();
    }
    pause_for(1000);
    const std::uint64_t now = now_ns();
    const std::uint64_t gap = (now - last) / 1000;
    if (gap > page_->longest_pause_us.load()) page_->longest_pause_us.store(gap);
    page_->rounds.fetch_add(1);
    last = now;
  }
}

double TimedCalls::cpu_seconds(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &time) != 0) {
    throw std::runtime_error("no CPU time of process " + std::to_string(process));
  }
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

double TimedCalls::in_call_ms(int thread) const {
  const std::uint64_t began = page_->threads[thread].began_ns.load();
  const std::uint64_t now = now_ns();
  return began == 0 || now < began ? 0 : static_cast<double>(now - began) / 1e6;
}

void TimedCalls::begin(const std::string& call, int threads, int pause_us, int limit) {
  const auto found = std::ranges::find(kCalls, call);
  if (found == kCalls.end()) throw std::runtime_error("no such call: " + call);
  page_->pause_us.store(pause_us);
  page_->places.store(0);
  page_->noted.store(0);
  page_->begun.store(0);
  page_->rounds.store(0);
  page_->longest_pause_us.store(0);
  page_->limit.store(static_cast<std::uint32_t>(limit));
  page_->active.store(threads);
  page_->call.store(static_cast<std::uint32_t>(found - kCalls.begin()) + 1);
  give_order(page_->order);
}

void TimedCalls::stop() {
  page_->call.store(0);
  give_order(page_->order);
  const bool over = eventually(
      [&] { return std::ranges::all_of(page_->threads, [](const auto& one) { return one.began_ns.load() == 0; }); },
      std::chrono::seconds(20));
  if (!over) throw std::runtime_error("calls do not come to their end");
}

std::vector<double> TimedCalls::take(const std::string& call, int count, int pause_us) {
  stop();
  begin(call, 1, pause_us, count);
  const bool done =
      eventually([&] { return page_->noted.load() >= static_cast<std::uint32_t>(count); }, std::chrono::seconds(100));
  stop();
  if (!done) throw std::runtime_error("calls take for ever");
  std::vector<double> all;
  for (int i = 0; i < count; ++i) all.push_back(page_->took_us[i].load() / 1000.0);
  return all;
}

}  // namespace chaos::test
