#include "loss_support.h"

#include <atomic>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <tuple>

#include "support/udp.h"

namespace chaos::test {

Sums::Sums(const nlohmann::json& scenario) {
  const nlohmann::json& c = scenario.at("counters");
  evaluated = c.at("evaluated");
  unmatched = c.at("unmatched");
  matched = c.at("matched");
  injected = c.at("injected");
  not_sampled = c.at("not_sampled");
  spared_protected = c.at("spared_protected");
  spared_budget = c.at("spared_budget");
  spared_expired = c.at("spared_expired");
  over_limit = c.at("over_limit");
}

bool Sums::closes() const {
  return evaluated == unmatched + matched &&
         matched == injected + not_sampled + spared_protected + spared_budget + spared_expired + over_limit;
}

namespace {

void in_cgroup(const TestCgroup* cgroup, const std::function<void()>& job) {
  if (cgroup != nullptr) return cgroup->run(job);
  job();
}

}  // namespace

std::vector<FlowResult> run_flows(const VethPair& net, const std::vector<FlowSpec>& flows) {
  std::vector<FlowResult> results(flows.size());
  std::vector<std::thread> threads;
  std::vector<std::string> errors(flows.size());
  for (std::size_t i = 0; i < flows.size(); ++i) {
    threads.emplace_back([&, i] {
      try {
        const FlowSpec& flow = flows[i];
        FlowResult& result = results[i];
        std::unique_ptr<UdpSocket> sender;
        std::unique_ptr<UdpSocket> receiver;
        const auto& [near, far] = flow.reverse ? std::tie(net.right, net.left) : std::tie(net.left, net.right);
        in_cgroup(flow.receiver_cgroup,
                  [&] { far.run([&] { receiver = std::make_unique<UdpSocket>(flow.to, flow.port); }); });
        in_cgroup(flow.sender_cgroup,
                  [&] { near.run([&] { sender = std::make_unique<UdpSocket>(flow.from, flow.source_port); }); });
        sender->connect(flow.to, flow.port);
        std::vector<bool> seen(flow.packets);
        constexpr std::uint64_t kChunk = 2000;
        for (std::uint64_t first = 0; first < flow.packets; first += kChunk) {
          const auto sent = sender->send_numbers(first, std::min(kChunk, flow.packets - first));
          result.sent += sent.accepted;
          result.refused += sent.refused;
          result.received += receiver->drain(seen);
        }
        // A veth hands packets over through softirq: what was sent a moment ago may still be on its way.
        std::uint64_t before = 0;
        do {
          before = result.received;
          eventually([&] { return (result.received += receiver->drain(seen)) > before; },
                     std::chrono::milliseconds(50));
        } while (result.received > before);
        result.socket_drops = receiver->drops();
        result.lost.resize(flow.packets);
        for (std::uint64_t n = 0; n < flow.packets; ++n) result.lost[n] = !seen[n];
      } catch (const std::exception& err) {
        errors[i] = err.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) {
    if (!error.empty()) throw std::runtime_error(error);
  }
  return results;
}

std::uint64_t softnet_drops() {
  std::ifstream file("/proc/net/softnet_stat");
  std::uint64_t sum = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string processed;
    std::string dropped;
    fields >> processed >> dropped;
    sum += std::stoull(dropped, nullptr, 16);
  }
  return sum;
}

double deviation(std::uint64_t lost, std::uint64_t sent, double p) {
  const auto n = static_cast<double>(sent);
  return (static_cast<double>(lost) - n * p) / std::sqrt(n * p * (1 - p));
}

}  // namespace chaos::test
