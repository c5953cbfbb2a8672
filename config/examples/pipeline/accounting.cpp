#include "accounting.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace pipeline {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kNsPerMicrosecond = 1'000;
constexpr double kNsPerMillisecond = 1e6;
constexpr std::size_t kMicrosecondDigits = 6;

// The number at the front of `text`, which then starts behind it.
template <class T>
std::optional<T> take_number(std::string_view& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// "1700000000.123456" → ns. Exactly six digits of fraction, as rsyslog writes them.
std::optional<std::int64_t> take_time(std::string_view& text) {
  const auto seconds = take_number<std::int64_t>(text);
  if (!seconds || !text.starts_with('.')) {
    return std::nullopt;
  }
  text.remove_prefix(1);
  const std::size_t before = text.size();
  const auto microseconds = take_number<std::int64_t>(text);
  if (!microseconds || before - text.size() != kMicrosecondDigits) {
    return std::nullopt;
  }
  return *seconds * kNsPerSecond + *microseconds * kNsPerMicrosecond;
}

std::optional<std::uint64_t> find_sequence(std::string_view text) {
  constexpr std::string_view kKey = " seq=";
  const std::size_t at = text.find(kKey);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  text.remove_prefix(at + kKey.size());
  return take_number<std::uint64_t>(text);
}

double latency_ms(const Line& line) { return static_cast<double>(line.stored_ns - line.sent_ns) / kNsPerMillisecond; }

}  // namespace

void read_sent(std::istream& in, Ledger& ledger) {
  std::uint64_t seq = 0;
  std::int64_t sent_ns = 0;
  while (in >> seq >> sent_ns) {
    ledger.lines[seq].sent_ns = sent_ns;
  }
}

void read_stored(std::istream& in, Ledger& ledger) {
  std::string text;
  while (std::getline(in, text)) {
    std::string_view rest = text;
    const auto stored_ns = take_time(rest);
    const auto seq = find_sequence(rest);
    if (!stored_ns || !seq) {
      ++ledger.garbled;
      continue;
    }
    const auto found = ledger.lines.find(*seq);
    if (found == ledger.lines.end()) {
      ++ledger.unexpected;
      continue;
    }
    Line& line = found->second;
    if (++line.copies == 1) {
      line.stored_ns = *stored_ns;
    }
  }
}

double percentile(const std::vector<double>& ascending, double share) {
  if (ascending.empty()) {
    return 0;
  }
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(ascending.size())));
  return ascending[std::clamp<std::size_t>(rank, 1, ascending.size()) - 1];
}

PhaseReport report(const Ledger& ledger, const Phase& phase, double on_time_ms) {
  PhaseReport result;
  std::vector<double> latencies;
  std::uint64_t arrived = 0;
  std::int64_t recovered_ns = 0;
  for (const auto& [seq, line] : ledger.lines) {
    const bool stored = line.copies > 0;
    if (stored && line.stored_ns >= phase.start_ns && line.stored_ns < phase.end_ns) {
      ++arrived;
    }
    if (line.sent_ns >= phase.start_ns && line.sent_ns < phase.end_ns) {
      ++result.sent;
      if (stored) {
        ++result.stored;
        result.duplicated += line.copies - 1;
        latencies.push_back(latency_ms(line));
      }
    }
    if (stored && line.sent_ns >= phase.end_ns && latency_ms(line) <= on_time_ms &&
        (recovered_ns == 0 || line.stored_ns < recovered_ns)) {
      recovered_ns = line.stored_ns;
    }
  }
  std::ranges::sort(latencies);
  result.missing = result.sent - result.stored;
  const double seconds = static_cast<double>(phase.end_ns - phase.start_ns) / static_cast<double>(kNsPerSecond);
  result.throughput_per_s = seconds > 0 ? static_cast<double>(arrived) / seconds : 0;
  result.latency_p50_ms = percentile(latencies, 0.50);
  result.latency_p99_ms = percentile(latencies, 0.99);
  result.latency_max_ms = percentile(latencies, 1.0);
  if (recovered_ns != 0) {
    result.recovered_after_s = static_cast<double>(recovered_ns - phase.end_ns) / static_cast<double>(kNsPerSecond);
  }
  return result;
}

}  // namespace pipeline
