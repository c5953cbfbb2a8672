// bench_watch: what eBPF telemetry costs while it is attached: packets per second without and with it, and system calls
// of a process that is not watched.
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include <functional>
#include <future>
#include <iterator>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "bench/exchange.h"
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

constexpr double kWantedRate = 100'000;
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
  explicit Traffic(const test::VethPair& pair) : pair_(pair) {
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
  const test::VethPair& pair_;
  UniqueFd client_;
  UniqueFd server_;
  std::unique_ptr<test::UdpSocket> source_;
  std::unique_ptr<test::UdpSocket> sink_;
};

/// What was done in a turn, by its time.
struct Rate {
  double count = 0;
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
  return {count, count / (now - began), count / (now_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_began)};
}

enum class Attached { kNothing, kNet, kSyscalls, kNoWork };

/// A program that does nothing, where that of round-trip times is: what the kernel takes for calling one.
UniqueFd attach_no_work() {
  const bpf_insn code[]{{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
                        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  const UniqueFd program(
      bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "bench_no_work", "GPL", code, std::size(code), nullptr));
  UniqueFd link(program.valid() ? bpf_raw_tracepoint_open("tcp_probe", program.get()) : -1);
  if (!link.valid()) throw std::runtime_error("attach a program that does nothing");
  return link;
}

/// Programs of the whole host, or of a cgroup in which nobody is.
struct Programs {
  std::optional<NetProbes> drops;
  std::optional<NetProbes> tcp;
  std::optional<SyscallProbes> syscalls;
  UniqueFd no_work;

  Programs(Attached what, const Cgroup& nobody) {
    if (what == Attached::kNet) {
      drops.emplace(value_of(NetProbes::attach(NetWatch::kDrops, kIdentity)));
      tcp.emplace(value_of(NetProbes::attach(NetWatch::kTcp, kIdentity)));
    }
    if (what == Attached::kNoWork) no_work = attach_no_work();
    if (what == Attached::kSyscalls) {
      syscalls.emplace(value_of(SyscallProbes::attach(kIdentity, {.cgroups = {nobody}, .processes = {}})));
    }
  }
  [[nodiscard]] std::uint64_t samples() const {
    if (!tcp) return 0;
    const chaos_net_counts counts = tcp->read();
    return std::accumulate(std::begin(counts.rtt), std::end(counts.rtt), std::uint64_t{0});
  }
};

Rate run_for(double seconds, Exchange& exchange) {
  const Exchange::Turn turn = exchange.run(seconds);
  return {turn.packets, turn.packets / turn.seconds, turn.packets / turn.cpu_seconds};
}

struct Case {
  std::string name;
  std::function<Rate(double seconds)> turn;
  Attached watched;
  bool is_tcp = false;        ///< each packet is a sample of round-trip times
  std::vector<double> off{};  ///< by round, per second of CPU time
  std::vector<double> control{};
  std::vector<double> on{};
  std::vector<double> wall_off{};  ///< per second
  std::vector<double> wall{};      ///< with the programs, per second
};

void measure(Case& one, const Cgroup& nobody, const Options& options) {
  std::async(std::launch::async, [&] {
    be_punctual();
    for (unsigned round = 0; round < options.rounds; ++round) {
      check_interrupted();
      progress(fmt::format("{}: round {} of {}", one.name, round + 1, options.rounds));
      const std::vector<double>* columns[] = {&one.off, &one.control, &one.on};
      for (const std::size_t which : round_order(3, round)) {
        const Programs programs(which == 2 ? one.watched : Attached::kNothing, nobody);
        (void)one.turn(options.seconds / 10);  // caches
        const std::uint64_t samples_before = programs.samples();
        const Rate rate = one.turn(options.seconds);
        const auto samples = static_cast<double>(programs.samples() - samples_before);
        if (which == 2 && one.is_tcp && samples < 0.99 * rate.count) throw std::runtime_error("packets were not seen");
        const_cast<std::vector<double>*>(columns[which])->push_back(rate.per_cpu_second);
        if (which == 0) one.wall_off.push_back(rate.per_second);
        if (which == 2) one.wall.push_back(rate.per_second);
      }
    }
  }).get();
  progress("");
}

Summary ratio_of(const std::vector<double>& values, const std::vector<double>& base) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < values.size(); ++i) ratios.push_back(values[i] / base[i]);
  return summarize(std::move(ratios));
}

Report run(const Options& options) {
  const test::VethPair pair("bwatch");
  const Traffic traffic(pair);
  Exchange exchange(pair);
  exchange.slow_down_to(kWantedRate);
  const test::TestCgroup empty("bwatch");
  const Cgroup nobody = value_of(value_of(CgroupTree::find()).get(empty.path()));
  const auto all_of = [](std::function<void()> work) {
    return [work = std::move(work)](double seconds) { return run_for(seconds, work); };
  };
  std::vector<Case> cases;
  cases.push_back({"TCP at about 100,000 packets a second, drops and TCP watched",
                   [&](double seconds) { return run_for(seconds, exchange); }, Attached::kNet, true});
  cases.push_back(
      {"TCP and nothing else, drops and TCP watched", all_of([&] { traffic.tcp(); }), Attached::kNet, true});
  cases.push_back(
      {"TCP and nothing else, a program that does nothing", all_of([&] { traffic.tcp(); }), Attached::kNoWork});
  cases.push_back({"UDP, each dropped, drops and TCP watched", all_of([&] { traffic.dropped_udp(); }), Attached::kNet});
  cases.push_back({"getppid, another's system calls watched", all_of([] {
                     (void)syscall(SYS_getppid);
                     (void)syscall(SYS_getppid);
                   }),
                   Attached::kSyscalls});
  Report report{
      .title = "eBPF telemetry while it is attached", .setup = host_facts(), .tables = {}, .targets = {}, .notes = {}};
  report.setup["rounds"] = options.rounds;
  report.setup["seconds"] = options.seconds;
  report.setup["looks into a file for each request"] = exchange.looks();
  Table table("watch", "Per second of the thread's CPU time, paired by round",
              {{"case", "case"},
               {"per_second", "off, per s"},
               {"wall_per_second_off", "off, per wall s"},
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
    table.add({one.name, off.median, summarize(one.wall_off).median, summarize(one.wall).median,
               1e9 / (off.median * on.median) - 1e9 / off.median, on.median, on.p10, on.p90, control.median,
               control.p10, control.p90});
    if (&one == &cases.front()) {
      report.targets.push_back(
          {"TCP at 100,000 packets a second with eBPF telemetry, of the same without", on.median, 0.97, 10, ""});
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
