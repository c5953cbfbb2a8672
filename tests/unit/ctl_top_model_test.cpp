// chaosctl top: what is read from the daemon's answers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/top_host.h"
#include "ctl_support.h"
#include "ctl_top_support.h"

namespace chaos::test {
namespace {

using ctl::Json;
using ctl::TopDrops;
using ctl::TopModel;
using ctl::TopModeler;
using ctl::TopRates;
using ctl::TopSample;
using testing::HasSubstr;

TEST(TopModel, RatesNeedTwoLooks) {
  TopModeler modeler;
  const TopModel first = modeler.take(sample_at(0));
  EXPECT_FALSE(first.host.busy);
  EXPECT_FALSE(first.host.networks.at(0).in);
  EXPECT_FALSE(first.faults.at(0).injected_rate);
  EXPECT_TRUE(first.past.cpu.empty());
  const TopModel second = modeler.take(sample_at(2));
  EXPECT_NEAR(*second.host.busy, 0.35, 1e-9);
  EXPECT_EQ(second.host.cpus, 2U);
  EXPECT_NEAR(second.host.cpu.at("steal"), 0.03, 1e-9);
  EXPECT_NEAR(*second.faults.at(0).injected_rate, 10, 1e-9);
  EXPECT_NEAR(*second.host.retransmits, 12, 1e-9);
  EXPECT_EQ(second.past.cpu.size(), 1U);
}

TEST(TopModel, ReadsTheHost) {
  TopModeler modeler;
  (void)modeler.take(sample_at(0));
  const ctl::TopHost& host = modeler.take(sample_at(4)).host;
  EXPECT_DOUBLE_EQ(*host.load[0], 0.52);
  EXPECT_DOUBLE_EQ(*host.memory_available, 6.0 * (1 << 30));
  EXPECT_NEAR(*host.pressure.at("cpu").waiting, 0.25, 1e-9);
  EXPECT_FALSE(host.pressure.at("cpu").stalled);
  EXPECT_NEAR(*host.pressure.at("memory").stalled, 0.005, 1e-9);
  ASSERT_EQ(host.networks.size(), 2U);
  EXPECT_EQ(host.networks[0].name, "eth0") << "the busiest first";
  EXPECT_NEAR(*host.networks[0].in, 2048, 1e-6);
  EXPECT_NEAR(*host.networks[0].lost, 3, 1e-9) << "drops and errors together";
  EXPECT_NEAR(*host.disks.at(0).busy, 0.5, 1e-9);
  EXPECT_DOUBLE_EQ(*host.established, 128);
  EXPECT_FALSE(host.timeouts) << "not among the metrics";
}

TEST(TopModel, ReadsServicesWithWhatTheyUse) {
  TopModeler modeler;
  (void)modeler.take(sample_at(0));
  const auto& services = modeler.take(sample_at(2)).services;
  ASSERT_EQ(services.size(), 2U);
  EXPECT_NEAR(*services[0].cpu, 0.5, 1e-9) << "no cgroup of its own: of its processes";
  EXPECT_DOUBLE_EQ(*services[0].memory, 3.0 * (1 << 20));
  EXPECT_EQ(services[0].processes, 2U);
  EXPECT_EQ(services[1].health, "unhealthy");
  EXPECT_EQ(services[1].reason, "no answer within 1 s");
  EXPECT_EQ(services[1].touched_by, 1U);
  EXPECT_FALSE(services[1].cpu);
}

TEST(TopModel, SaysWhatWasRequestedBesideWhatIsAchieved) {
  TopModeler modeler;
  const ctl::TopFault& fault = modeler.take(sample_at(1)).faults.at(0);
  EXPECT_EQ(fault.requested, "probability=10%, model=random") << "first what is measured; the seed is no request";
  EXPECT_EQ(fault.achieved, "probability=9.3%");
  EXPECT_EQ(fault.target, "interface=eth1 port=80,443");
  EXPECT_EQ(fault.injected, 10U);
  EXPECT_EQ(fault.matched, 100U);
  EXPECT_TRUE(fault.active);
}

TEST(TopModel, QueuedAndShadowedFaults) {
  TopSample sample = sample_at(1);
  Json& scenario = sample.scenarios["scenarios"][0];
  scenario["mode"] = "shadow";
  scenario["counters"]["shadowed"] = 5;
  Json queued = scenario;
  queued["state"] = "queued";
  queued["queue_position"] = 2;
  queued.erase("ends_at");
  sample.scenarios["scenarios"].push_back(queued);
  TopModeler modeler;
  const auto& faults = modeler.take(sample).faults;
  EXPECT_TRUE(faults[0].shadow);
  EXPECT_EQ(faults[0].injected, 5U);
  EXPECT_EQ(faults[1].state, "queued #2");
  EXPECT_FALSE(faults[1].active);
  EXPECT_FALSE(faults[1].ends_at);
}

TEST(TopModel, DropsAreNotAskedForByThemselves) {
  TopModeler modeler;
  EXPECT_EQ(modeler.take(sample_at(0)).drops.state, TopDrops::State::kNotAsked);
}

TEST(TopModel, DropsWithOriginAndRate) {
  TopModeler modeler;
  TopSample sample = sample_at(1);
  sample.drops = drops_answer(1, 100, 20);
  sample.tcp = tcp_answer(1, 7);
  (void)modeler.take(sample);
  sample = sample_at(3);
  sample.drops = drops_answer(3, 160, 20);
  sample.tcp = tcp_answer(3, 11);
  const TopDrops drops = modeler.take(sample).drops;
  ASSERT_EQ(drops.state, TopDrops::State::kShown);
  ASSERT_EQ(drops.reasons.size(), 2U);
  EXPECT_EQ(drops.reasons[0].reason, "TC_INGRESS");
  EXPECT_TRUE(drops.reasons[0].injected);
  EXPECT_NEAR(*drops.reasons[0].rate, 30, 1e-9);
  EXPECT_FALSE(drops.reasons[1].injected);
  EXPECT_NEAR(*drops.reasons[1].rate, 0, 1e-9);
  EXPECT_NEAR(*drops.injected_rate, 30, 1e-9);
  EXPECT_TRUE(drops.tcp);
  EXPECT_EQ(drops.retransmits, 11U);
  EXPECT_NEAR(*drops.retransmit_rate, 2, 1e-9);
  EXPECT_EQ(drops.syn_retransmits, 3U);
  EXPECT_DOUBLE_EQ(*drops.rtt_p99_us, 895);

  // The programs were attached anew: a smaller count is no rate.
  sample = sample_at(4);
  sample.drops = drops_answer(4, 3, 1);
  (*sample.drops)->at("since") = format_rfc3339(at_second(3.5));
  EXPECT_FALSE(modeler.take(sample).drops.injected_rate);
}

TEST(TopModel, DropsThatAreRefused) {
  TopModeler modeler;
  TopSample sample = sample_at(1);
  sample.drops = std::unexpected(ctl::problem_from_response(404, R"({"detail":"no such path"})"));
  sample.tcp = std::unexpected(ctl::problem_from_response(409, R"({"detail":"eight scopes are the most"})"));
  const TopDrops drops = modeler.take(sample).drops;
  EXPECT_EQ(drops.state, TopDrops::State::kRefused);
  EXPECT_EQ(drops.refusal, "this chaosd has no such telemetry");
  EXPECT_EQ(drops.tcp_refusal, "eight scopes are the most");
}

TEST(TopModel, KeepsWhatItKnewWhileTheDaemonIsGone) {
  TopModeler modeler;
  (void)modeler.take(sample_at(0));
  TopSample gone;
  gone.time = at_second(5);
  gone.lost = ctl::problem(Errc::kUnreachable, "nobody listens").error();
  TopModel model = modeler.take(gone);
  EXPECT_EQ(model.lost, "nobody listens");
  EXPECT_EQ(model.lost_since, at_second(5));
  EXPECT_EQ(model.faults.size(), 1U);
  gone.time = at_second(9);
  EXPECT_EQ(modeler.take(gone).lost_since, at_second(5));
  model = modeler.take(sample_at(10));
  EXPECT_EQ(model.lost, "");
  EXPECT_FALSE(model.lost_since);
}

TEST(TopModel, TakesWhateverADaemonSays) {
  TopSample sample;
  sample.time = at_second(0);
  const Json odd = Json::parse(R"([1, null, {"a": []}])");
  for (const char* text : {"null", "[]", "7", R"("x")", R"({"scenarios":[1,null,[],{}],"services":[null,3,{}],
        "metrics":[5,{"name":7,"value":"x"},{"name":"chaosd_host_load1","value":1,"labels":3}],"time":"never"})"}) {
    for (Json* answer : {&sample.health, &sample.scenarios, &sample.services, &sample.host, &sample.service_metrics}) {
      *answer = Json::parse(text);
    }
    sample.drops = Json::parse(text);
    sample.tcp = Json::parse(text);
    TopModeler modeler;
    (void)modeler.take(sample);
    const TopModel& model = modeler.take(sample);
    const auto lines = screen(model, {}, {80, 24});
    EXPECT_EQ(lines.size(), 24U) << text;
  }
}

TEST(TopRates, TheSameMomentTwiceIsNoNewLook) {
  TopRates rates;
  rates.look(at_second(0));
  EXPECT_FALSE(rates.of("a", 10));
  rates.look(at_second(2));
  EXPECT_DOUBLE_EQ(*rates.of("a", 14), 2);
  rates.look(at_second(2));
  EXPECT_DOUBLE_EQ(*rates.of("a", 14), 2) << "the daemon had no newer sample";
  rates.look(at_second(3));
  EXPECT_FALSE(rates.of("a", 1)) << "it began anew";
  rates.look(at_second(4));
  EXPECT_DOUBLE_EQ(*rates.of("a", 2), 1);
  rates.look(std::nullopt);
  EXPECT_FALSE(rates.of("a", 3));
  rates.look(at_second(3600));
  EXPECT_FALSE(rates.of("a", 1000)) << "too long ago";
}

class TopSampling : public FakeDaemonTest {};

TEST_F(TopSampling, AsksForDropsOnlyWhenToldTo) {
  for (const char* path :
       {"/health", "/api/chaos/scenarios", "/api/services", "/api/monitoring/metrics?pattern=chaosd_host_%2A",
        "/api/monitoring/metrics?pattern=chaosd_service_%2A"}) {
    answer(std::string("GET ") + path, "{}");
  }
  ctl::Client client(daemon_.socket());
  TopSample sample = ctl::take_sample(client, {});
  EXPECT_FALSE(sample.lost);
  EXPECT_FALSE(sample.drops);
  EXPECT_EQ(daemon_.requests().size(), 5U);

  answer("GET /api/monitoring/drops?lease=5000ms", R"({"total":3})");
  sample = ctl::take_sample(client, {.drops = true});
  ASSERT_TRUE(sample.drops && sample.drops->has_value());
  EXPECT_EQ(sample.drops->value().at("total"), 3);
  ASSERT_TRUE(sample.tcp);
  EXPECT_EQ(sample.tcp->error().exit, ctl::Exit::kNotFound);

  // The programs stay attached until the next time.
  (void)ctl::take_sample(client, {.drops = true, .interval = std::chrono::seconds(10)});
  EXPECT_EQ(daemon_.requests().back().path, "/api/monitoring/tcp?lease=30000ms");
}

TEST_F(TopSampling, OneAnswerThatIsMissingDoesNotHideTheOthers) {
  answer("GET /health", R"({"pid":5})");
  answer("GET /api/services", R"({"detail":"the worker is busy"})", 503);
  ctl::Client client(daemon_.socket());
  const TopSample sample = ctl::take_sample(client, {});
  EXPECT_FALSE(sample.lost);
  EXPECT_EQ(sample.health.at("pid"), 5);
  EXPECT_THAT(sample.problems, testing::Contains("the worker is busy"));
}

TEST(TopSamplingAlone, ADaemonThatIsNotThereIsLost) {
  const ScratchDir dir;
  ctl::Client client((dir / "none.sock").string());
  const TopSample sample = ctl::take_sample(client, {});
  ASSERT_TRUE(sample.lost);
  EXPECT_EQ(sample.lost->exit, ctl::Exit::kUnreachable);
}

}  // namespace
}  // namespace chaos::test
