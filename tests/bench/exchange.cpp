#include "bench/exchange.h"

#include <fcntl.h>
// Not netinet/tcp.h: its tcp_info ends before the segment counts.
#include <linux/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <future>
#include <stdexcept>

#include "bench/harness.h"
#include "support/tcp.h"

namespace chaos::bench {
namespace {

constexpr std::uint16_t kPort = 7100;
constexpr std::size_t kRequest = 100;
constexpr std::size_t kAnswer = 1000;  // a packet of its own
constexpr std::size_t kFile = 4096;

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// The last CPU: the first ones have most of the machine's interrupts.
void stay_on_one_cpu() {
  cpu_set_t all;
  CPU_ZERO(&all);
  if (sched_getaffinity(0, sizeof all, &all) != 0) throw std::runtime_error("sched_getaffinity");
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &all)) last = cpu;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(last, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) throw std::runtime_error("sched_setaffinity");
}

/// False at the end of the connection.
template <std::size_t kSize>
bool receive(int fd) {
  std::array<char, kSize> buffer;
  return recv(fd, buffer.data(), buffer.size(), MSG_WAITALL) == static_cast<ssize_t>(kSize);
}

template <std::size_t kSize>
bool give(int fd) {
  const std::array<char, kSize> buffer{};
  return send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(kSize);
}

double segments_out(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) throw std::runtime_error("TCP_INFO");
  return info.tcpi_segs_out;
}

}  // namespace

Exchange::Exchange(const test::VethPair& pair) : file_(directory_.write("file", std::string(kFile, 'x')).string()) {
  const UniqueFd listener = test::listen_in(pair.right, kPort);
  pair.left.run([&] {
    const test::Address to("10.77.0.2", kPort);
    client_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(client_.get(), to.get(), to.size) != 0) throw std::runtime_error("connect");
  });
  server_.reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int on = 1;
  for (const int fd : {client_.get(), server_.get()}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  thread_ = std::thread([this] { serve(); });
}

Exchange::~Exchange() {
  shutdown(client_.get(), SHUT_RDWR);
  thread_.join();
}

void Exchange::slow_down_to(double packets_per_second) {
  // Time for a packet is a + b * looks: two turns tell both.
  constexpr unsigned kSome = 16;
  constexpr double kLong = 0.3;
  std::async(std::launch::async, [&] {
    be_punctual();
    (void)run(kLong / 3);  // caches
    const Turn bare = run(kLong);
    looks_ = kSome;
    const Turn loaded = run(kLong);
    const double a = bare.cpu_seconds / bare.packets;
    const double b = (loaded.cpu_seconds / loaded.packets - a) / kSome;
    looks_ = static_cast<unsigned>(std::clamp(std::round((1 / packets_per_second - a) / b), 0.0, 1000.0));
  }).get();
}

void Exchange::look() const {
  const UniqueFd file(open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  std::array<char, kFile> buffer;
  if (fstat(file.get(), &status) != 0 || read(file.get(), buffer.data(), buffer.size()) != kFile) {
    throw std::runtime_error("read " + file_);
  }
}

void Exchange::serve() {
  stay_on_one_cpu();
  be_punctual();
  while (receive<kRequest>(server_.get())) {
    for (unsigned i = looks_; i > 0; --i) look();
    if (!give<kAnswer>(server_.get())) return;
  }
}

double Exchange::packets() const { return segments_out(client_.get()) + segments_out(server_.get()); }

Exchange::Turn Exchange::run(double seconds) {
  stay_on_one_cpu();
  clockid_t server_clock{};
  if (pthread_getcpuclockid(thread_.native_handle(), &server_clock) != 0) throw std::runtime_error("CPU clock");
  const auto cpu = [&] { return seconds_of(CLOCK_THREAD_CPUTIME_ID) + seconds_of(server_clock); };
  const double packets_before = packets();
  const double cpu_before = cpu();
  const double began = seconds_of(CLOCK_MONOTONIC);
  double now = began;
  while (now - began < seconds) {
    if (!give<kRequest>(client_.get()) || !receive<kAnswer>(client_.get())) throw std::runtime_error("no answer");
    now = seconds_of(CLOCK_MONOTONIC);
  }
  return {.packets = packets() - packets_before, .seconds = now - began, .cpu_seconds = cpu() - cpu_before};
}

}  // namespace chaos::bench
