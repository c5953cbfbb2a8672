// Outside readers: what others than chaosd say about this host, by the names and labels of chaosd's series. A test
// holds them against the daemon's values. Failures throw.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace chaos::test {

using Labels = std::map<std::string, std::string>;

struct OutsideReader {
  /// Of the series with these labels; nothing if there is no such thing.
  std::function<std::optional<double>(const Labels&)> read;
  /// How far a counter may be seen going back: the kernel's own idle and iowait do.
  double slack = 0;
};

/// By metric: everything that chaosd shows of the host.
[[nodiscard]] const std::map<std::string, OutsideReader>& outside_readers();

class Daemon;
/// What a daemon shows of the series with these labels (and others) now; -1: nothing.
[[nodiscard]] double series_value(const Daemon& daemon, const std::string& name, const Labels& labels);

}  // namespace chaos::test
