// bench_watch: what eBPF telemetry costs while it is attached: packets per second without and with it, and system calls
// of a process that is not watched.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <thread>

#include "bench/harness.h"
#include "bench/own_engine.h"
#include "kernel/net_probes.h"
#include "kernel/syscall_probes.h"
#include "support/cgroup.h"
#include "support/net.h"
#include "support/tcp.h"
#include "support/udp.h"

namespace chaos::bench {
namespace {

const ProbeIdentity kIdentity{.tag = "bnch"};

double now_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Two hosts on a veth pair and a TCP connection between them, whose two ends one thread serves: a byte there, a byte
/// back, each a packet of its own that the kernel hands over within the call.
class Traffic {
 public:
  Traffic() {
    const UniqueFd listener = test::listen_in(pair_.right, 7000);
    pair_.left.run([&] {
      const test::Address to("10.77.0.2", 7000);
      client_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (connect(client_.get(), to.get(), to.size) != 0) throw std::runtime_error("connect");
      source_ = std::make_unique<test::UdpSocket>("10.77.0.1", 5000);
    });
    pair_.right.run([&] { sink_ = std::make_unique<test::UdpSocket>("10.77.0.2", 6000); });
    server_.reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int on = 1;
    for (const int fd : {client_.get(), server_.get()}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Full from the beginning, so that each packet is dropped.
    const int small = 2048;
    setsockopt(sink_->fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    source_->connect("10.77.0.2", 6000);
  }

  /// Packets in `seconds`, by turns of the thread's own CPU time as well.
  void tcp() const {
    char byte = 'x';
    for (const auto& [from, to] : {std::pair(client_.get(), server_.get()), std::pair(server_.get(), client_.get())}) {
      if (send(from, &byte, 1, MSG_NOSIGNAL) != 1 || recv(to, &byte, 1, 0) != 1) throw std::runtime_error("ping-pong");
    }
  }
  void dropped_udp() const { (void)source_->send_numbers(0, 2, 18); }

 private:
  test::VethPair pair_{"bwatch"};
  UniqueFd client_;
  UniqueFd server_;
  std::unique_ptr<test::UdpSocket> source_;
  std::unique_ptr<test::UdpSocket> sink_;
};

struct Rate {
  double per_second = 0;
  double per_cpu_second = 0;
};

/// `work` does two of what is counted.
Rate run_for(double seconds, const std::function<void()>& work) {
  constexpr unsigned kBetweenLooks = 64;
  const double began = now_seconds(CLOCK_MONOTONIC);
  const double cpu_began = now_seconds(CLOCK_THREAD_CPUTIME_ID);
  double count = 0;
  double now = began;
  while (now - began < seconds) {
    for (unsigned i = 0; i < kBetweenLooks; ++i) work();
    count += 2.0 * kBetweenLooks;
    now = now_seconds(CLOCK_MONOTONIC);
  }
  return {count / (now - began), count / (now_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_began)};
}

enum class Attached { kNothing, kNet, kSyscalls };

/// Programs of the whole host, or of a cgroup in which nobody is.
struct Programs {
  std::optional<NetProbes> drops;
  std::optional<NetProbes> tcp;
  std::optional<SyscallProbes> syscalls;

  Programs(Attached what, const Cgroup& nobody) {
    if (what == Attached::kNet) {
      drops.emplace(value_of(NetProbes::attach(NetWatch::kDrops, kIdentity)));
      tcp.emplace(value_of(NetProbes::attach(NetWatch::kTcp, kIdentity)));
    }
    if (what == Attached::kSyscalls) {
      syscalls.emplace(value_of(SyscallProbes::attach(kIdentity, {.cgroups = {nobody}, .processes = {}})));
    }
  }
};

struct Case {
  std::string name;
  std::function<void()> work;
  Attached watched;
  std::vector<double> off{};  ///< by round, per second of CPU time
  std::vector<double> control{};
  std::vector<double> on{};
  std::vector<double> wall{};  ///< with the programs, per second
};

void measure(Case& one, const Cgroup& nobody, const Options& options) {
  std::thread([&] {
    be_punctual();
    for (unsigned round = 0; round < options.rounds; ++round) {
      check_interrupted();
      progress(fmt::format("{}: round {} of {}", one.name, round + 1, options.rounds));
      const std::vector<double>* columns[] = {&one.off, &one.control, &one.on};
      for (const std::size_t which : round_order(3, round)) {
        const Programs programs(which == 2 ? one.watched : Attached::kNothing, nobody);
        (void)run_for(options.seconds / 10, one.work);  // caches
        const Rate rate = run_for(options.seconds, one.work);
        const_cast<std::vector<double>*>(columns[which])->push_back(rate.per_cpu_second);
        if (which == 2) one.wall.push_back(rate.per_second);
      }
    }
  }).join();
  progress("");
}

Summary ratio_of(const std::vector<double>& values, const std::vector<double>& base) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < values.size(); ++i) ratios.push_back(values[i] / base[i]);
  return summarize(std::move(ratios));
}

Report run(const Options& options) {
  const Traffic traffic;
  const test::TestCgroup empty("bwatch");
  const Cgroup nobody = value_of(value_of(CgroupTree::find()).get(empty.path()));
  std::vector<Case> cases;
  cases.push_back({"TCP, drops and TCP watched", [&] { traffic.tcp(); }, Attached::kNet});
  cases.push_back({"UDP, each dropped, drops and TCP watched", [&] { traffic.dropped_udp(); }, Attached::kNet});
  cases.push_back({"getppid, another's system calls watched",
                   [] {
                     (void)syscall(SYS_getppid);
                     (void)syscall(SYS_getppid);
                   },
                   Attached::kSyscalls});
  Report report{
      .title = "eBPF telemetry while it is attached", .setup = host_facts(), .tables = {}, .targets = {}, .notes = {}};
  report.setup["rounds"] = options.rounds;
  report.setup["seconds"] = options.seconds;
  Table table("watch", "Per second of the thread's CPU time, paired by round",
              {{"case", "case"},
               {"per_second", "off, per s"},
               {"wall_per_second", "on, per wall s"},
               {"ns_more", "on: ns more"},
               {"ratio", "on / off", 4},
               {"p10", "p10", 4},
               {"p90", "p90", 4},
               {"control", "off again / off", 4},
               {"control_p10", "p10", 4},
               {"control_p90", "p90", 4}});
  for (Case& one : cases) {
    measure(one, nobody, options);
    const Summary off = summarize(one.off);
    const Summary on = ratio_of(one.on, one.off);
    const Summary control = ratio_of(one.control, one.off);
    table.add({one.name, off.median, summarize(one.wall).median, 1e9 / (off.median * on.median) - 1e9 / off.median,
               on.median, on.p10, on.p90, control.median, control.p10, control.p90});
    if (&one == &cases.front()) {
      report.targets.push_back({"TCP packets with eBPF telemetry, of those without", on.median, 0.97, 10, ""});
    }
  }
  report.tables.push_back(std::move(table));
  return report;
}

}  // namespace
}  // namespace chaos::bench

int main(int argc, char** argv) {
  return chaos::bench::run_benchmark(
      argc, argv, "What eBPF telemetry costs while it is attached",
      {.rounds = 100, .seconds = 0.1, .json = false, .check = false}, [](CLI::App&) {}, chaos::bench::run);
}
