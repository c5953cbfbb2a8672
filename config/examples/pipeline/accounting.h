// Accounting for every line of the example pipeline: which were sent, which were stored, when, and how often.
// Values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pipeline {

/// What is known of one line. Times are CLOCK_REALTIME in ns; sender and processor share the host's clock.
struct Line {
  std::int64_t sent_ns = 0;
  std::int64_t stored_ns = 0;  ///< of the first copy; 0 while it is missing
  std::uint64_t copies = 0;
};

/// All lines by sequence number, and what could not be matched with one.
struct Ledger {
  std::map<std::uint64_t, Line> lines{};
  std::uint64_t unexpected = 0;  ///< stored with a number that was never sent
  std::uint64_t garbled = 0;     ///< stored but not in the format of the processor's template
};

/// A stretch of time, [start, end).
struct Phase {
  std::string name{};
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
};

/// Lines belong to the phase in which they were sent, whenever they arrive; only the throughput goes by arrival.
struct PhaseReport {
  std::uint64_t sent = 0;
  std::uint64_t stored = 0;      ///< of those sent here, distinct
  std::uint64_t missing = 0;     ///< sent - stored
  std::uint64_t duplicated = 0;  ///< copies beyond the first
  double throughput_per_s = 0;   ///< lines (first copies) that arrived within the phase, by its length
  double latency_p50_ms = 0;
  double latency_p99_ms = 0;
  double latency_max_ms = 0;
  /// From the phase's end to the arrival of the first later line that was on time again; none if no line was.
  std::optional<double> recovered_after_s{};
};

/// Reads pipeline-loggen's account: "SEQ SENT_NS" per line.
void read_sent(std::istream& in, Ledger& ledger);

/// Reads the processor's file: "SECONDS.MICROSECONDS … seq=N …" per line (template of processor.conf). Call it after
/// read_sent: numbers that are not in the ledger count as unexpected.
void read_stored(std::istream& in, Ledger& ledger);

/// A line is on time when it took at most `on_time_ms`.
PhaseReport report(const Ledger& ledger, const Phase& phase, double on_time_ms);

/// Nearest-rank percentile of an ascending list, 0 of an empty one. `share` in (0, 1].
double percentile(const std::vector<double>& ascending, double share);

}  // namespace pipeline
