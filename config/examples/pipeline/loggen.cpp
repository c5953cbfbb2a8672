// pipeline-loggen: sends numbered syslog lines (RFC 5424, one per line, TCP) at a steady rate and notes every line that
// it sent, so that pipeline-report can account for each.
//
// A line is stamped with the time at which it was due, not with the time at which write() returned: when the collector
// stops reading, the wait belongs to the measured latency (otherwise the generator would hide it by sending less).
// Runs on one thread until SIGTERM, SIGINT or --count; needs no privilege.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/unique_fd.h"

namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

volatile std::sig_atomic_t stop_requested = 0;

void request_stop(int) { stop_requested = 1; }

struct Options {
  std::string address = "10.77.0.1";
  std::uint16_t port = 5514;
  double rate = 1000;
  std::uint64_t count = 0;
  std::size_t size = 200;
  std::string sent_file;
};

std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

void sleep_until(std::int64_t when_ns) {
  const timespec when{.tv_sec = when_ns / kNsPerSecond, .tv_nsec = when_ns % kNsPerSecond};
  clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, nullptr);
}

chaos::UniqueFd connect_to(const sockaddr_in& peer) {
  chaos::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return fd;
  }
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0) {
    return {};
  }
  return fd;
}

// The whole line or false; errno tells why.
bool send_all(int fd, const std::string& line) {
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t sent = send(fd, line.data() + done, line.size() - done, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR && stop_requested == 0) {
        continue;
      }
      return false;
    }
    done += static_cast<std::size_t>(sent);
  }
  return true;
}

std::string make_line(std::uint64_t seq, std::int64_t due_ns, std::size_t size) {
  const std::time_t seconds = due_ns / kNsPerSecond;
  std::string line = fmt::format("<134>1 {:%Y-%m-%dT%H:%M:%S}.{:06}Z generator pipeline-loggen {} - - seq={} sent={} ",
                                 fmt::gmtime(seconds), due_ns % kNsPerSecond / 1000, getpid(), seq, due_ns);
  if (line.size() + 1 < size) {
    line.append(size - line.size() - 1, '.');
  }
  line += '\n';
  return line;
}

// Keeps the connection; a line whose write failed is written again on the next one. Lines that the old connection had
// taken but not delivered are lost with it, and pipeline-report shows them as missing.
int generate(const Options& options, const sockaddr_in& peer, std::ofstream& sent) {
  const auto interval_ns = static_cast<std::int64_t>(kNsPerSecond / options.rate);
  const std::int64_t start_ns = now_ns();
  chaos::UniqueFd fd;
  std::uint64_t seq = 0;
  while (stop_requested == 0 && (options.count == 0 || seq < options.count)) {
    const std::int64_t due_ns = start_ns + static_cast<std::int64_t>(seq) * interval_ns;
    sleep_until(due_ns);
    const std::string line = make_line(seq, due_ns, options.size);
    while (stop_requested == 0) {
      if (!fd.valid()) {
        fd = connect_to(peer);
      }
      if (fd.valid() && send_all(fd.get(), line)) {
        sent << seq << ' ' << due_ns << '\n';
        ++seq;
        break;
      }
      fd.reset();
      sleep_until(now_ns() + kNsPerSecond / 10);
    }
  }
  sent.flush();
  std::cout << seq << '\n';
  return sent ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Sends numbered syslog lines over TCP at a steady rate");
  app.add_option("--address", options.address, "IPv4 address of the collector")->capture_default_str();
  app.add_option("--port", options.port, "TCP port of the collector")->capture_default_str();
  app.add_option("--rate", options.rate, "lines per second")->check(CLI::Range(0.1, 1e6))->capture_default_str();
  app.add_option("--count", options.count, "stop after so many lines (0: at SIGTERM)")->capture_default_str();
  app.add_option("--size", options.size, "bytes per line, at least")->check(CLI::Range(1, 8000))->capture_default_str();
  app.add_option("--sent", options.sent_file, "file for the account of what was sent")->required();
  CLI11_PARSE(app, argc, argv);

  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.address.c_str(), &peer.sin_addr) != 1) {
    std::cerr << "pipeline-loggen: not an IPv4 address: " << options.address << '\n';
    return 2;
  }
  std::ofstream sent(options.sent_file, std::ios::trunc);
  if (!sent) {
    std::cerr << "pipeline-loggen: cannot write " << options.sent_file << ": " << std::strerror(errno) << '\n';
    return 1;
  }
  // No SA_RESTART: a blocked send must return so that the generator can end.
  struct sigaction action {};
  action.sa_handler = request_stop;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  return generate(options, peer, sent);
}
