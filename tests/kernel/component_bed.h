// What tests of component_failure share: a chaosd that may break anything, and its requests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"

namespace chaos::test {

inline nlohmann::json failure(nlohmann::json target, nlohmann::json parameters, const std::string& duration = "1m") {
  return {{"kind", "component_failure"},
          {"target", std::move(target)},
          {"parameters", std::move(parameters)},
          {"duration", duration}};
}

inline nlohmann::json hang(nlohmann::json target) { return failure(std::move(target), {{"failure_type", "hang"}}); }

class Component : public testing::Test {
 protected:
  void SetUp() override { CHAOS_NEEDS_ROOT(); }
  void start_daemon(const std::string& services = "") {
    Daemon::Setup setup;
    setup.config =
        "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1, scenarios: {component_failure: "
        "{target_services: [victim]}}}\n" +
        services;
    daemon_ = std::make_unique<Daemon>(std::move(setup));
    ASSERT_TRUE(
        eventually([&] { return daemon_->get("/health").body.value("guardian_pid", nlohmann::json()).is_number(); }));
  }
  void expect_no_residue() const {
    const Response residue = daemon_->get("/api/chaos/residue");
    EXPECT_TRUE(residue.body.value("clean", false)) << residue.text;
  }
  std::unique_ptr<Daemon> daemon_;
};

}  // namespace chaos::test
