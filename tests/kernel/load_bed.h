// What tests of resource_exhaustion's workers have in common.
#pragma once

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/limited.h"
#include "support/loads.h"
#include "support/requests.h"

namespace chaos::test {

class Loads : public testing::Test {
 protected:
  void SetUp() override {
    CHAOS_NEEDS_ROOT();
    daemon_ = std::make_unique<Daemon>();
  }
  static nlohmann::json request(const nlohmann::json& target, nlohmann::json parameters) {
    return {
        {"kind", "resource_exhaustion"}, {"target", target}, {"parameters", std::move(parameters)}, {"duration", "2m"}};
  }
  static nlohmann::json host() { return {{"host", "localhost"}}; }
  static nlohmann::json inside(const LimitedCgroup& cgroup) { return {{"cgroup", cgroup.cgroup().path()}}; }

  std::string start(const nlohmann::json& body) {
    const nlohmann::json started = daemon_->run_scenario(body);
    EXPECT_EQ(started.at("plan").at("ownership"), "process");
    EXPECT_THAT(load_workers(daemon_->instance()), testing::SizeIs(1));
    return id_of(started);
  }
  nlohmann::json achieved(const std::string& id) const { return daemon_->scenario(id).at("achieved"); }
  void stop(const std::string& id) const {
    const nlohmann::json ended = daemon_->stop_scenario(id);
    EXPECT_EQ(ended.at("state"), "completed") << ended.dump(1);
    EXPECT_EQ(ended.at("counters").at("injected"), 1);
    expect_nothing_left();
  }
  void expect_nothing_left() const {
    EXPECT_TRUE(load_workers(daemon_->instance()).empty());
    const Response residue = daemon_->get("/api/chaos/residue");
    EXPECT_TRUE(residue.body.value("clean", false)) << residue.text;
  }
  std::tuple<long, std::string, bool> refusal(const nlohmann::json& body) const {
    const Response answer = daemon_->post("/api/chaos/scenarios", body);
    return {answer.status, answer.body.value("field", ""), answer.body.value("rule", "").empty()};
  }
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace chaos::test
