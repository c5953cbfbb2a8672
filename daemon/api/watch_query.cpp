#include "api/watch_query.h"

#include <array>
#include <string>

#include "base/contains.h"
#include "base/units.h"

namespace chaos {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kUsualDuration = std::chrono::seconds(10);
constexpr milliseconds kLongestDuration = std::chrono::hours(1);
constexpr milliseconds kShortest{100};
constexpr milliseconds kLongestInterval = std::chrono::minutes(1);
constexpr milliseconds kShortestLease = std::chrono::seconds(1);

Result<std::optional<milliseconds>> span_of(const HttpRequest& request, const std::string& name, milliseconds least,
                                            milliseconds most, const char* rule) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return std::optional<milliseconds>();
  const auto span = parse_duration(found->second);
  if (!span || *span < least || *span > most) {
    return fail(Errc::kInvalid, name + " is \"" + found->second + "\"", "query." + name, rule, "for example 2s");
  }
  return std::chrono::duration_cast<milliseconds>(*span);
}

/// "KEY=VALUE,KEY=VALUE"
Result<TargetKeys> target_of(const HttpRequest& request) {
  TargetKeys keys;
  const auto found = request.query.find("target");
  if (found == request.query.end()) return keys;
  std::string rest = found->second;
  bool more = true;
  while (more) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    more = comma < rest.size();
    const std::string one = rest.substr(0, comma);
    rest.erase(0, comma + 1);
    const std::size_t equals = one.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == one.size()) {
      return fail(Errc::kInvalid, "target has \"" + one + "\"", "query.target", "KEY=VALUE", "for example service=web");
    }
    keys[one.substr(0, equals)].push_back(one.substr(equals + 1));
  }
  return keys;
}

}  // namespace

Result<WatchQuery> watch_query(WatchKind kind, const HttpRequest& request) {
  static constexpr std::array<std::string_view, 4> kKnown{"target", "duration", "interval", "lease"};
  for (const auto& [name, value] : request.query) {
    if (contains(kKnown, name)) continue;
    return fail(Errc::kInvalid, "there is no parameter " + name, "query." + name,
                "one of target, duration, interval, lease");
  }
  WatchQuery query{.ask = {.kind = kind, .target = {}}, .duration = {}, .interval = {}, .lease = {}};
  auto target = target_of(request);
  if (!target) return std::unexpected(target.error());
  query.ask.target = std::move(*target);
  const auto interval = span_of(request, "interval", kShortest, kLongestInterval, "a duration, 100ms to 1m");
  if (!interval) return std::unexpected(interval.error());
  query.interval = *interval;
  const auto duration = span_of(request, "duration", kShortest, kLongestDuration, "a duration, 100ms to 1h");
  if (!duration) return std::unexpected(duration.error());
  query.duration = duration->value_or(query.interval ? kLongestDuration : kUsualDuration);
  const auto lease = span_of(request, "lease", kShortestLease, kLongestInterval, "a duration, 1s to 1m");
  if (!lease) return std::unexpected(lease.error());
  query.lease = *lease;
  if (query.lease && (duration->has_value() || query.interval)) {
    return fail(Errc::kInvalid, "lease goes with neither duration nor interval", "query.lease", "one or the other",
                "with lease the answer comes at once: ask again and again");
  }
  return query;
}

}  // namespace chaos
