// drops and tcp: what is asked of the daemon, and what is made of its answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl_support.h"

namespace chaos::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kDrops =
    R"({"scope":"service web\u001b[2J","since":"s","until":"u","seconds":2.0,"total":30,"natural":10,"injected":20,
        "delay_line":0,"reasons":[{"reason":"TC_INGRESS","origin":"injected","count":20},
        {"reason":"SOCKET_RCVBUFF","origin":"natural","count":10}],
        "without_socket":{"natural":4,"injected":0,"delay_line":0},"oom_kills":1,"missed":2,"notes":["an old kernel"]})";
constexpr const char* kTcp =
    R"({"scope":"host","seconds":10.0,"retransmits":{"packets":3,"segments":5,"syn":1,"synack":0},
        "resets":{"sent":7,"received":8},"rtt":{"samples":4,"mean_us":520,"min_us":480,"p50_us":511,"p90_us":1535,
        "p99_us":2500000,"max_us":2500000,"buckets":[{"le_us":511,"count":3},{"le_us":1535,"count":1}]},
        "sockets":{"count":2,"states":{"ESTABLISHED":2},"rtt_us":null,"retransmits":9,"lost":0,"unacked":0,
        "send_queue_bytes":0,"receive_queue_bytes":11},"missed":0,"notes":[]})";

class CtlWatch : public FakeDaemonTest {};

TEST_F(CtlWatch, DropsByReasonAndOrigin) {
  answer("GET /api/monitoring/drops?target=service%3Dweb&duration=2s", kDrops);
  const Ran ran = run({"drops", "--target", "service=web", "--duration", "2s"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("30 packets dropped: 10 natural, 20 injected\n"), HasSubstr("TC_INGRESS"),
                             HasSubstr("SOCKET_RCVBUFF  natural   10       5.0"), Not(HasSubstr("\x1b")),
                             HasSubstr("of anybody: 4 natural, 0 injected"), HasSubstr("1 processes killed"),
                             HasSubstr("2 events were not told"), HasSubstr("Note: an old kernel")));
}

TEST_F(CtlWatch, TcpWithItsHistogram) {
  answer("GET /api/monitoring/tcp", kTcp);
  const Ran ran = run({"tcp"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("3 packets, 5 segments (1 SYN, 0 SYN-ACK)"), HasSubstr("7 sent, 8 received"),
                             HasSubstr("mean 520 µs, p50 511 µs, p90 1.53 ms, p99 2.50 s, max 2.50 s"),
                             HasSubstr("511 µs  " + std::string(40, '#') + "  3"), HasSubstr("ESTABLISHED=2")));
}

TEST_F(CtlWatch, JsonIsTheAnswerItself) {
  answer("GET /api/monitoring/tcp", kTcp);
  const Ran ran = run({"-o", "json", "tcp"});
  EXPECT_EQ(ctl::Json::parse(ran.out), ctl::Json::parse(kTcp));
}

TEST_F(CtlWatch, WatchPrintsEachEvent) {
  std::string body;
  for (const char* data : {kDrops, kDrops}) {
    std::string line = data;
    std::erase(line, '\n');
    body += "event: drops\ndata: " + line + "\n\n: keep-alive\n\n";
  }
  answer("GET /api/monitoring/drops?duration=3s&interval=500ms", body, 200, FakeReply::Kind::kClosed);
  const Ran ran = run({"drops", "--watch", "--every", "500ms", "--duration", "3s"});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_NE(ran.out.find("TC_INGRESS"), ran.out.rfind("TC_INGRESS"));
}

TEST_F(CtlWatch, WhatIsWrongIsSaid) {
  EXPECT_EQ(run({"drops", "--every", "1s"}).exit, 2) << "goes with --watch only";
  answer("GET /api/monitoring/drops?duration=1ms", R"({"title":"t","status":400,"detail":"duration is \"1ms\""})", 400);
  const Ran ran = run({"drops", "--duration", "1ms"});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_THAT(ran.err, HasSubstr("duration is"));
}

}  // namespace
}  // namespace chaos::test
