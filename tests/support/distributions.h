// Distribution functions, and how far samples are from them: for tests of what is asked for and of what arrives.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace chaos::test {

using DistributionFunction = std::function<double(double)>;

/// Kolmogorov and Smirnov's distance. `samples`: sorted here.
[[nodiscard]] inline double distance(std::vector<double> samples, const DistributionFunction& function) {
  std::ranges::sort(samples);
  const auto all = static_cast<double>(samples.size());
  double most = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double expected = function(samples[i]);
    most = std::max({most, std::abs(expected - static_cast<double>(i) / all),
                     std::abs(expected - static_cast<double>(i + 1) / all)});
  }
  return most;
}

/// From mean - half to mean + half.
[[nodiscard]] inline DistributionFunction uniform_around(double mean, double half) {
  return [=](double x) { return std::clamp((x - mean + half) / (2 * half), 0.0, 1.0); };
}

[[nodiscard]] inline DistributionFunction normal_around(double mean, double deviation) {
  return [=](double x) { return 0.5 * std::erfc(-(x - mean) / deviation / std::sqrt(2.0)); };
}

/// Pareto of shape 3.
[[nodiscard]] inline DistributionFunction pareto_around(double mean, double deviation) {
  return [=](double x) {
    const double raw = (x - mean) / deviation * std::sqrt(0.75) + 1.5;
    return raw <= 1.0 ? 0.0 : 1.0 - std::pow(raw, -3.0);
  };
}

/// In a straight line between quantiles that are evenly spaced.
[[nodiscard]] inline DistributionFunction through(const std::vector<double>& quantiles) {
  return [=](double x) {
    if (x <= quantiles.front()) return 0.0;
    for (std::size_t i = 1; i < quantiles.size(); ++i) {
      if (x > quantiles[i]) continue;
      const double part = (x - quantiles[i - 1]) / (quantiles[i] - quantiles[i - 1]);
      return (static_cast<double>(i - 1) + part) / static_cast<double>(quantiles.size() - 1);
    }
    return 1.0;
  };
}

}  // namespace chaos::test
