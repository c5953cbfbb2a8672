// How a fault that another process carries out has to end, whatever it is: with chaosd killed, hung, out of time or
// told to stop. A bed has a daemon, request(), time_to_as_before(), expect_as_before() and wait_for_guardian().
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <string>

#include "death_phases.h"
#include "support/requests.h"
#include "support/time_scale.h"
#include "support/timings.h"

namespace chaos::test {

/// Kills chaosd `rounds` times in this phase; `begin`: starts one and returns its id. At most 200 ms until all is as it
/// was, by the worst of 25 on a quiet machine.
template <class Bed>
void expect_ends_when_killed(Bed& bed, Phase phase, int rounds, const std::function<std::string()>& begin,
                             const std::string& what) {
  Timings timings;
  for (int round = 0; round < rounds; ++round) {
    std::string id;
    if (phase != Phase::kStarting) id = begin();
    {
      const Struck struck = kill_in(phase, round, *bed.daemon, bed.request(), id);
      timings.add(bed.time_to_as_before(struck.at));
    }
    (void)bed.daemon->wait();
    bed.expect_as_before();
    bed.daemon->start();
    EXPECT_TRUE(bed.daemon->get("/api/chaos/residue").body.value("clean", false));
    bed.wait_for_guardian();
  }
  timings.report("kill -9 to as before, " + what + ", " + name_of(phase));
  timings.print_histogram();
  EXPECT_LE(timings.max(), 200 * time_scale() * by_size(5, 1));
}

/// Its lease ends it, and nothing comes back when chaosd goes on.
template <class Bed>
void expect_ends_with_a_hang(Bed& bed, const std::string& id) {
  const auto stopped = std::chrono::steady_clock::now();
  bed.daemon->signal(SIGSTOP);
  const auto took = bed.time_to_as_before(stopped);
  report_figure("SIGSTOP to as before", took.count(), "ms");
  EXPECT_LE(took.count(), 2000 * time_scale());
  bed.daemon->signal(SIGCONT);
  const nlohmann::json record = wait_for_end(*bed.daemon, id);
  EXPECT_EQ(record.value("state", ""), "failed");
  EXPECT_EQ(record.value("end_reason", ""), "lapsed");
  bed.expect_as_before();
}

/// At its time, of so many seconds, and not before.
template <class Bed>
void expect_ends_in_time(Bed& bed, int length_s, const std::function<bool()>& acts) {
  const auto began = std::chrono::steady_clock::now();
  const std::string id = id_of(bed.daemon->run_scenario(bed.request(std::to_string(length_s) + "s")));
  EXPECT_TRUE(eventually(acts));
  const auto took = bed.time_to_as_before(began);
  report_figure("a deadline of " + std::to_string(length_s) + " s", took.count(), "ms");
  const double length_ms = 1000.0 * length_s;
  EXPECT_GE(took.count(), length_ms - 100);
  EXPECT_LE(took.count(), (length_ms * 1.05 + 150) * time_scale() * by_size(2, 1));
  EXPECT_EQ(wait_for_end(*bed.daemon, id).value("end_reason", ""), "expired");
  bed.expect_as_before();
}

template <class Bed>
void expect_ends_with_the_emergency_stop(Bed& bed, const std::string& id) {
  const auto pulled = std::chrono::steady_clock::now();
  EXPECT_EQ(bed.daemon->post("/api/chaos/emergency-stop").status, 200);
  const auto took = bed.time_to_as_before(pulled);
  report_figure("emergency stop to as before", took.count(), "ms");
  EXPECT_LE(took.count(), 200 * time_scale() * by_size(3, 1));
  EXPECT_EQ(wait_for_end(*bed.daemon, id).value("end_reason", ""), "emergency_stop");
  EXPECT_EQ(bed.daemon->post("/api/chaos/scenarios", bed.request()).status, 409);
  bed.expect_as_before();
}

}  // namespace chaos::test
