// What every benchmark's main shares: options, privilege check, clean end on signals, statistics. Main thread.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "bench/report.h"

namespace chaos::bench {

struct Options {
  unsigned rounds = 0;
  double seconds = 0;  ///< of one measurement; 0: the benchmark has no such option
  bool json = false;
  bool check = false;  ///< a missed target is exit status 1
};

/// Parses the command line, runs `job` as root, prints its report. `extend` adds options of the benchmark's own.
/// Exit status: 0; 1 failed or, with --check, target missed; 77 not root (1 where CHAOS_REQUIRE_KERNEL=1).
int run_benchmark(int argc, char** argv, const std::string& description, Options defaults,
                  const std::function<void(CLI::App&)>& extend, const std::function<Report(const Options&)>& job);

/// Throws once SIGINT or SIGTERM has come, so that namespaces and links go as their objects do.
void check_interrupted();

/// On stderr, and only for a person who waits at a terminal.
void progress(const std::string& text);

/// Real-time priority where permitted, and timers without slack, for the calling thread: a traffic source that waits
/// for other processes' turns would measure them. Refused: a noisier measurement, not another one.
void be_punctual();

struct Summary {
  double median = 0;
  double p10 = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
};
/// All zero for no values.
[[nodiscard]] Summary summarize(std::vector<double> values);

/// Order in which `count` variants run in round `round`: rotated and every second time reversed, so that none always
/// follows the same other one.
[[nodiscard]] std::vector<std::size_t> round_order(std::size_t count, unsigned round);

}  // namespace chaos::bench
