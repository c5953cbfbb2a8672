#include "support/net.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <thread>

#include "support/time_scale.h"

namespace chaos::test {

Outcome try_shell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("popen: " + command);
  std::array<char, 4096> buffer{};
  for (std::size_t got = 0; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    outcome.output.append(buffer.data(), got);
  }
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return outcome;
}

std::string shell(const std::string& command) {
  Outcome outcome = try_shell(command);
  if (outcome.status != 0)
    throw std::runtime_error(command + ": exit " + std::to_string(outcome.status) + "\n" + outcome.output);
  return outcome.output;
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit * time_scale();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Namespace::Namespace(std::string_view label) {
  static std::atomic<unsigned> counter{0};
  name_ = "chaostest-" + std::string(label) + "-" + std::to_string(getpid()) + "-" + std::to_string(counter++);
  shell("ip netns add " + name_);
  shell("ip -n " + name_ + " link set lo up");
  // Duplicate address detection would delay every IPv6 test by a second.
  run([] {
    for (const char* file : {"/proc/sys/net/ipv6/conf/all/accept_dad", "/proc/sys/net/ipv6/conf/default/accept_dad"}) {
      UniqueFd fd(::open(file, O_WRONLY | O_CLOEXEC));
      if (fd.valid()) (void)!write(fd.get(), "0", 1);
    }
  });
}

Namespace::Namespace(Namespace&& other) noexcept : name_(std::exchange(other.name_, {})) {}

Namespace::~Namespace() {
  if (!name_.empty()) (void)try_shell("ip netns del " + name_);
}

void Namespace::run(const std::function<void()>& job) const {
  std::exception_ptr error;
  std::thread([&] {
    try {
      const UniqueFd fd(::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC));
      if (!fd.valid() || setns(fd.get(), CLONE_NEWNET) != 0) throw std::runtime_error("enter " + name_);
      // /proc/sys/net follows the thread's namespace by itself (proc(5)).
      job();
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
}

std::string Namespace::command(const std::string& text) const {
  return shell("nsenter --net=/run/netns/" + name_ + " " + text);
}

VethPair::VethPair(std::string_view label) : left(std::string(label) + "-l"), right(std::string(label) + "-r") {
  shell("ip link add l0 netns " + left.name() + " type veth peer name r0 netns " + right.name());
  const struct {
    const Namespace& ns;
    const char* device;
    const char* host;
  } ends[] = {{left, "l0", "1"}, {right, "r0", "2"}};
  for (const auto& end : ends) {
    const std::string ip = "ip -n " + end.ns.name() + " ";
    shell(ip + "addr add 10.77.0." + end.host + "/24 dev " + end.device);
    shell(ip + "addr add fd77::" + end.host + "/64 dev " + end.device + " nodad");
    shell(ip + "link set " + end.device + " up");
  }
  // Usable only once both ends have carrier, routes and each other's link-layer address. Before that packets get lost
  // ahead of any hook, or wait for the address and then leave from another CPU, out of order with those behind them.
  for (const char* ping : {"ping -6 -c 1 -W 1 fd77::2", "ping -4 -c 1 -W 1 10.77.0.2"}) {
    const std::string command = "nsenter --net=/run/netns/" + left.name() + " " + ping;
    if (!eventually([&] { return try_shell(command).status == 0; })) {
      throw std::runtime_error(std::string("the veth pair does not answer: ") + ping);
    }
  }
}

void VethPair::disable_offloads() const {
  const std::string off = " gso off tso off gro off";
  left.command("ethtool -K l0" + off);
  right.command("ethtool -K r0" + off);
}

}  // namespace chaos::test
