// pipeline-report: reads what pipeline-loggen sent and what the processor stored, and prints one JSON document: per
// phase and in total sent, stored, missing, duplicated, throughput, latency, time to recover.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "accounting.h"

namespace {

using nlohmann::ordered_json;

// "NAME:START_NS:END_NS"
bool parse_phase(const std::string& text, pipeline::Phase& phase) {
  const std::size_t first = text.find(':');
  const std::size_t second = text.find(':', first == std::string::npos ? first : first + 1);
  if (first == 0 || second == std::string::npos) {
    return false;
  }
  phase.name = text.substr(0, first);
  try {
    phase.start_ns = std::stoll(text.substr(first + 1, second - first - 1));
    phase.end_ns = std::stoll(text.substr(second + 1));
  } catch (const std::exception&) {
    return false;
  }
  return phase.start_ns < phase.end_ns;
}

ordered_json to_json(const pipeline::Phase& phase, const pipeline::PhaseReport& report) {
  return {{"name", phase.name},
          {"duration_s", static_cast<double>(phase.end_ns - phase.start_ns) / 1e9},
          {"sent", report.sent},
          {"stored", report.stored},
          {"missing", report.missing},
          {"duplicated", report.duplicated},
          {"throughput_per_s", report.throughput_per_s},
          {"latency_p50_ms", report.latency_p50_ms},
          {"latency_p99_ms", report.latency_p99_ms},
          {"latency_max_ms", report.latency_max_ms},
          {"recovered_after_s", report.recovered_after_s ? ordered_json(*report.recovered_after_s) : ordered_json()}};
}

bool open(std::ifstream& in, const std::string& path) {
  in.open(path);
  if (!in) {
    std::cerr << "pipeline-report: cannot read " << path << ": " << std::strerror(errno) << '\n';
  }
  return in.is_open();
}

}  // namespace

int main(int argc, char** argv) {
  std::string sent_file;
  std::string stored_file;
  std::vector<std::string> phase_texts;
  double on_time_ms = 0;
  CLI::App app("Accounts for every line that went through the example pipeline");
  app.add_option("--sent", sent_file, "pipeline-loggen's account")->required();
  app.add_option("--stored", stored_file, "the processor's file")->required();
  app.add_option("--phase", phase_texts, "NAME:START_NS:END_NS, in CLOCK_REALTIME; may be repeated");
  app.add_option("--on-time", on_time_ms, "a line is on time within so many ms (default: 3 × p99 of the first phase)");
  CLI11_PARSE(app, argc, argv);

  std::vector<pipeline::Phase> phases;
  for (const std::string& text : phase_texts) {
    if (!parse_phase(text, phases.emplace_back())) {
      std::cerr << "pipeline-report: not a phase (NAME:START_NS:END_NS): " << text << '\n';
      return 2;
    }
  }
  std::ifstream sent;
  std::ifstream stored;
  if (!open(sent, sent_file) || !open(stored, stored_file)) {
    return 1;
  }
  pipeline::Ledger ledger;
  read_sent(sent, ledger);
  read_stored(stored, ledger);

  if (on_time_ms <= 0 && !phases.empty()) {
    // Never below 20 ms: a busy machine delays a line by that much with no fault at all.
    on_time_ms = std::max(20.0, 3 * report(ledger, phases.front(), 0).latency_p99_ms);
  }
  ordered_json document{{"on_time_ms", on_time_ms}, {"phases", ordered_json::array()}};
  for (const pipeline::Phase& phase : phases) {
    document["phases"].push_back(to_json(phase, report(ledger, phase, on_time_ms)));
  }
  std::uint64_t distinct = 0;
  std::uint64_t duplicated = 0;
  for (const auto& [seq, line] : ledger.lines) {
    distinct += line.copies > 0 ? 1 : 0;
    duplicated += line.copies > 1 ? line.copies - 1 : 0;
  }
  document["total"] = {{"sent", ledger.lines.size()},
                       {"stored", distinct},
                       {"missing", ledger.lines.size() - distinct},
                       {"duplicated", duplicated},
                       {"unexpected", ledger.unexpected},
                       {"garbled", ledger.garbled}};
  std::cout << document.dump(2) << '\n';
  return 0;
}
