// TCP: what is sent again, resets and round-trip times, held against nstat(8) and ss(8).
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <map>
#include <thread>

#include "support/timings.h"
#include "watch_bed.h"

namespace chaos::test {
namespace {

using nlohmann::json;

struct Connection {
  UniqueFd client;
  UniqueFd server;
};

class WatchTcp : public WatchBed {
 protected:
  /// From left to right; the client, and the server if it is asked for, are the watched cgroup's.
  [[nodiscard]] Connection connect_pair(bool six = false, std::uint16_t port = 7000, bool server = true) const {
    Connection pair;
    UniqueFd listener;
    if (!server) listener = listen_in(net_->right, port);
    watched_->run([&] {
      if (server) listener = listen_in(net_->right, port);
      net_->left.run([&] {
        const Address to(six ? "fd77::2" : "10.77.0.2", port);
        pair.client.reset(socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (connect(pair.client.get(), to.get(), to.size) != 0) throw std::runtime_error("connect");
      });
      pair.server.reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    });
    if (!pair.server.valid()) throw std::runtime_error("accept");
    return pair;
  }

  json run_loss(const char* share) const {
    return daemon_.run_scenario(
        {{"kind", "packet_loss"},
         {"target", {{"netns", net_->left.name()}, {"interface", "l0"}, {"protocol", "tcp"}, {"direction", "egress"}}},
         {"parameters", {{"probability", share}}},
         {"duration", "120s"}});
  }
};

/// `rounds` times a byte there and one back.
void ping_pong(const Connection& pair, int rounds) {
  char byte = 'x';
  for (int i = 0; i < rounds; ++i) {
    if (send(pair.client.get(), &byte, 1, 0) != 1 || recv(pair.server.get(), &byte, 1, 0) != 1 ||
        send(pair.server.get(), &byte, 1, 0) != 1 || recv(pair.client.get(), &byte, 1, 0) != 1) {
      throw std::runtime_error("ping-pong");
    }
  }
}

/// All of `bytes` through the connection.
void transfer(const Connection& pair, std::size_t bytes) {
  std::thread writer([&] {
    const std::vector<char> block(64 * 1024);
    for (std::size_t left = bytes; left > 0;) {
      const ssize_t sent = send(pair.client.get(), block.data(), std::min(left, block.size()), MSG_NOSIGNAL);
      if (sent <= 0) return;
      left -= static_cast<std::size_t>(sent);
    }
  });
  std::vector<char> block(64 * 1024);
  for (std::size_t got = 0; got < bytes;) {
    const ssize_t now = recv(pair.server.get(), block.data(), block.size(), 0);
    if (now <= 0) break;
    got += static_cast<std::size_t>(now);
  }
  writer.join();
}

TEST_F(WatchTcp, WhatIsSentAgainIsAsMuchAsNstatSays) {
  const json before = look("tcp", target());
  const std::uint64_t outside_before = nstat(net_->left, "TcpRetransSegs");
  const json started = run_loss("3%");
  for (const bool six : {false, true}) transfer(connect_pair(six, six ? 7001 : 7000), by_size(8U, 64U) << 20);
  (void)daemon_.stop_scenario(started.at("id"));
  const auto grown = [&](const json& now, const char* key) {
    return now.at("retransmits").at(key).get<std::uint64_t>() - before.at("retransmits").at(key).get<std::uint64_t>();
  };
  // The end of a connection may be on its way once more. The right host loses nothing.
  json after;
  std::uint64_t outside = 0;
  EXPECT_TRUE(eventually([&] {
    outside = nstat(net_->left, "TcpRetransSegs") - outside_before + nstat(net_->right, "TcpRetransSegs");
    after = look("tcp", target());
    return grown(after, "segments") == outside;
  })) << after.dump(1)
      << outside;
  EXPECT_GT(outside, 10U);
  EXPECT_LE(grown(after, "packets"), grown(after, "segments"));
  EXPECT_EQ(after.at("missed"), 0U);
}

TEST_F(WatchTcp, ResetsAreAsManyAsNstatSays) {
  const json before = look("tcp", target());
  const std::uint64_t sent_before = nstat(net_->left, "TcpOutRsts");
  constexpr unsigned kTimes = 20;
  for (unsigned i = 0; i < kTimes; ++i) {
    Connection pair = connect_pair(i % 2 == 1);
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    setsockopt(pair.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    // Before the other end is closed: a socket in TIME_WAIT takes no reset.
    pair.client.reset();
  }
  const auto grown = [&](const json& now, const char* key) {
    return now.at("resets").at(key).get<std::uint64_t>() - before.at("resets").at(key).get<std::uint64_t>();
  };
  json after;
  EXPECT_TRUE(eventually([&] { return grown(after = look("tcp", target()), "received") >= kTimes; })) << after;
  EXPECT_EQ(grown(after, "sent"), nstat(net_->left, "TcpOutRsts") - sent_before);
  EXPECT_EQ(grown(after, "sent"), kTimes);
  EXPECT_EQ(grown(after, "received"), kTimes);
}

/// The smoothed round-trip time that ss(8) shows of the only connection to this port, in µs.
double ss_rtt_us(const Namespace& ns, std::uint16_t port) {
  const std::string text = ns.command("ss -tinH dport = :" + std::to_string(port));
  const std::size_t at = text.find(" rtt:");
  if (at == std::string::npos) throw std::runtime_error("ss: " + text);
  return std::stod(text.substr(at + 5)) * 1000;
}

/// The bucket that holds the value: its place among all buckets (eight for each power of two).
int place_of(double us) {
  auto value = static_cast<std::uint64_t>(us);
  int shift = 0;
  for (; value >= 16; value >>= 1) ++shift;
  return shift * 8 + static_cast<int>(value);
}

// Within one bucket: the time of a packet that arrives is the one before it is taken into account.
TEST_F(WatchTcp, TheRoundTripTimeIsWhatSsSaysWithinABucket) {
  const json started = daemon_.run_scenario(
      {{"kind", "latency_injection"},
       {"target", {{"netns", net_->left.name()}, {"interface", "l0"}, {"protocol", "tcp"}, {"direction", "egress"}}},
       {"parameters", {{"delay", "20ms"}}},
       {"duration", "120s"}});
  for (const bool six : {false, true}) {
    const std::uint16_t port = six ? 7001 : 7000;
    const Connection pair = connect_pair(six, port, /*server=*/false);
    ping_pong(pair, 40);
    // The last one alone: what has come before has been counted before.
    const json before = look("tcp", target());
    ping_pong(pair, 1);
    const json after = look("tcp", target());
    const double outside = ss_rtt_us(net_->left, port);
    EXPECT_GT(outside, 15'000) << "the delay shows";
    std::map<std::uint64_t, std::uint64_t> was;
    for (const json& bucket : before.at("rtt").at("buckets")) was[bucket.at("le_us")] = bucket.at("count");
    int found = 0;
    for (const json& bucket : after.at("rtt").at("buckets")) {
      const std::uint64_t end = bucket.at("le_us");
      const auto last = was.find(end);
      if (last != was.end() && last->second == bucket.at("count")) continue;
      ++found;
      EXPECT_LE(std::abs(place_of(static_cast<double>(end)) - place_of(outside)), 1) << end << " µs, ss: " << outside;
    }
    EXPECT_GE(found, 1) << after;
    // And what sock_diag says now is what ss says.
    const json& sockets = after.at("sockets");
    EXPECT_EQ(sockets.at("states"), (json{{"ESTABLISHED", 1}})) << sockets;
    EXPECT_NEAR(sockets.at("rtt_us").at("max").get<double>(), outside, outside / 8);
  }
  (void)daemon_.stop_scenario(started.at("id"));
}

TEST_F(WatchTcp, TheHistogramOfPrometheusIsTheSameAndGoesWithTheWatch) {
  const json before = look("tcp", target());
  const Connection pair = connect_pair();
  ping_pong(pair, 100);
  const std::string label = "{scope=\"cgroup " + watched_->path() + "\"";
  std::string text;
  std::uint64_t samples = 0;
  // A late acknowledgement is a sample as well.
  ASSERT_TRUE(eventually([&] {
    samples = look("tcp", target()).at("rtt").at("samples");
    text = daemon_.get("/metrics").text;
    return text.find("chaosd_tcp_rtt_seconds_count" + label + "} " + std::to_string(samples) + "\n") !=
           std::string::npos;
  })) << text.substr(text.find("chaosd_tcp"));
  EXPECT_GE(samples - before.at("rtt").at("samples").get<std::uint64_t>(), 200U);
  EXPECT_THAT(text, testing::HasSubstr("# TYPE chaosd_tcp_rtt_seconds histogram\n"));
  EXPECT_THAT(text,
              testing::HasSubstr("chaosd_tcp_rtt_seconds_bucket" + label + ",le=\"+Inf\"} " + std::to_string(samples)));
  // By bounds, ascending.
  EXPECT_LT(text.find(",le=\"0.000031\"}"), text.find(",le=\"0.000063\"}"));
  EXPECT_LT(text.find(",le=\"0.008191\"}"), text.find(",le=\"16.777215\"}"));
}

}  // namespace
}  // namespace chaos::test
