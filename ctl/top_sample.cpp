#include "ctl/top_sample.h"

#include <algorithm>

#include <fmt/format.h>

#include "ctl/json_text.h"

namespace chaos::ctl {
namespace {

constexpr std::chrono::milliseconds kLeastLease{5'000};
constexpr std::chrono::milliseconds kMostLease{60'000};
constexpr int kMissedAnswers = 3;  // so many may be late before the programs go

std::string lease_text(std::chrono::milliseconds interval) {
  return fmt::format("{}ms", std::clamp(interval * kMissedAnswers, kLeastLease, kMostLease).count());
}

Json document_of(const std::optional<Outcome<Json>>& answer) {
  if (!answer) return nullptr;
  return *answer ? **answer : Json{{"problem", answer->error().document}};
}

}  // namespace

TopSample take_sample(Client& client, const TopQuestions& questions) {
  TopSample sample;
  sample.time = system_clock().wall();
  const auto ask = [&](const char* path, Json& answer) {
    if (sample.lost) return;
    Outcome<Json> got = client.get(path);
    if (got) {
      answer = std::move(*got);
    } else if (got.error().exit == Exit::kUnreachable || got.error().exit == Exit::kDenied) {
      sample.lost = got.error();
    } else {
      sample.problems.push_back(text_of(got.error().document, "detail"));
    }
  };
  ask("/health", sample.health);
  ask("/api/chaos/scenarios", sample.scenarios);
  ask("/api/services", sample.services);
  ask("/api/monitoring/metrics?pattern=chaosd_host_%2A", sample.host);
  ask("/api/monitoring/metrics?pattern=chaosd_service_%2A", sample.service_metrics);
  if (sample.lost || !questions.drops) return sample;
  // These may be refused, and the rest is worth showing all the same.
  const std::string lease = "?lease=" + lease_text(questions.interval);
  sample.drops = client.get("/api/monitoring/drops" + lease);
  sample.tcp = client.get("/api/monitoring/tcp" + lease);
  return sample;
}

Json sample_json(const TopSample& sample) {
  return {{"time", format_rfc3339(sample.time)},
          {"health", sample.health},
          {"scenarios", sample.scenarios},
          {"services", sample.services},
          {"host", sample.host},
          {"service_metrics", sample.service_metrics},
          {"problems", sample.problems},
          {"drops", document_of(sample.drops)},
          {"tcp", document_of(sample.tcp)}};
}

}  // namespace chaos::ctl
