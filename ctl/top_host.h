// Reading of the daemon's metrics for chaosctl top: the host and what services use. Pure but for the rates.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/top_model.h"

namespace chaos::ctl {

/// The answer of /api/monitoring/metrics with the growth of each series.
class TopMetrics {
 public:
  TopMetrics(const Json& answer, TopRates& rates);

  /// Of the only series of that name; nothing if there is none.
  [[nodiscard]] TopNumber value(std::string_view name) const;
  /// Of all series of that name together; nothing if none has one yet.
  [[nodiscard]] TopNumber rate(std::string_view name) const;
  /// Summed over what has the same value of `label`.
  [[nodiscard]] std::map<std::string, double> values_by(std::string_view name, std::string_view label) const;
  [[nodiscard]] std::map<std::string, double> rates_by(std::string_view name, std::string_view label) const;

 private:
  struct Series {
    std::string name;
    const Json* labels;
    double value;
    TopNumber rate;
  };
  std::vector<Series> series_;
};

[[nodiscard]] TopHost host_of(const TopMetrics& metrics);

}  // namespace chaos::ctl
