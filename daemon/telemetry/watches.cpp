#include "telemetry/watches.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <map>
#include <mutex>

#include "base/clock.h"

namespace chaos {

using nlohmann::json;
using std::chrono::nanoseconds;

namespace {

constexpr std::chrono::seconds kLookEvery{1};
constexpr std::chrono::seconds kFollowEvery{2};

std::string key_of(const WatchAsk& ask) {
  std::string key(to_string(ask.kind));
  for (const auto& [name, values] : ask.target) key += fmt::format("\n{}={}", name, fmt::join(values, ","));
  return key;
}

}  // namespace

/// What belongs to the worker. Others look at `attached` under the lock, under which it alone changes it.
struct Watches::Core {
  struct Moment {
    WallTime wall = system_clock().wall();
    nanoseconds monotonic = system_clock().monotonic();
  };
  struct Asker {
    Moment since;
    std::unique_ptr<Watch::Mark> mark;
  };
  struct Attached {
    WatchAsk ask;
    WatchTarget target;
    std::unique_ptr<Watch> watch;
    Asker first;  ///< when it was attached
    std::map<Id, Asker> askers{};
    nanoseconds kept_until{};  ///< CLOCK_MONOTONIC
    nanoseconds looked_at{};   ///< for the target
  };

  explicit Core(ProbeIdentity who) : identity(std::move(who)) {}

  const ProbeIdentity identity;
  ServiceConfigs services;
  mutable std::mutex mutex;
  std::map<std::string, Attached> attached;

  Result<Attached*> attach(const WatchAsk& ask);
  Status open(const WatchAsk& ask, Id id);
  Result<json> read(Id id);
  void close(Id id);
  Result<json> read_and_keep(const WatchAsk& ask, nanoseconds how_long);
  bool look_after();
  void follow(Attached& one);
  static json report(const Attached& one, const Asker& asker);
  void set_series(Registry& registry);
};

Result<Watches::Core::Attached*> Watches::Core::attach(const WatchAsk& ask) {
  const std::string key = key_of(ask);
  if (const auto found = attached.find(key); found != attached.end()) return &found->second;
  if (attached.size() >= kMost) {
    return fail(Errc::kRefused, fmt::format("{} things are watched already", attached.size()), {},
                fmt::format("at most {}", kMost), "wait until one of them has ended");
  }
  auto target = find_watch_target(ask.kind, ask.target, services);
  if (!target) return std::unexpected(target.error());
  auto watch = attach_watch(ask.kind, identity, *target);
  if (!watch) return with_context("watch " + std::string(to_string(ask.kind)), watch.error());
  Attached fresh{.ask = ask, .target = *target, .watch = std::move(*watch), .first = {}};
  fresh.first.mark = fresh.watch->mark();
  fresh.looked_at = fresh.first.since.monotonic;
  spdlog::debug("watching {} of {}", to_string(ask.kind), target->scope);
  const std::scoped_lock lock(mutex);
  return &attached.emplace(key, std::move(fresh)).first->second;
}

Status Watches::Core::open(const WatchAsk& ask, Id id) {
  const auto one = attach(ask);
  if (!one) return std::unexpected(one.error());
  Asker asker;
  asker.mark = (*one)->watch->mark();
  (*one)->askers.emplace(id, std::move(asker));
  return {};
}

json Watches::Core::report(const Attached& one, const Asker& asker) {
  json body = one.watch->report(*asker.mark);
  const Moment now;
  body["scope"] = one.target.scope;
  body["since"] = format_rfc3339(asker.since.wall);
  body["until"] = format_rfc3339(now.wall);
  body["seconds"] = std::chrono::duration<double>(now.monotonic - asker.since.monotonic).count();
  return body;
}

Result<json> Watches::Core::read(Id id) {
  for (auto& [key, one] : attached) {
    if (const auto asker = one.askers.find(id); asker != one.askers.end()) return report(one, asker->second);
  }
  return fail(Errc::kNotFound, "this is not watched any more");
}

void Watches::Core::close(Id id) {
  for (auto& [key, one] : attached) one.askers.erase(id);
  (void)look_after();
}

Result<json> Watches::Core::read_and_keep(const WatchAsk& ask, nanoseconds how_long) {
  const auto one = attach(ask);
  if (!one) return std::unexpected(one.error());
  (*one)->kept_until = std::max((*one)->kept_until, system_clock().monotonic() + how_long);
  return report(**one, (*one)->first);
}

/// What comes back under the name is meant as well. A target that is gone stays what it was.
void Watches::Core::follow(Attached& one) {
  auto target = find_watch_target(one.ask.kind, one.ask.target, services);
  if (!target || (target->processes.empty() && (!target->cgroups || target->cgroups->empty()))) return;
  if (target->processes.empty() != one.target.processes.empty()) return;
  const std::scoped_lock lock(mutex);
  if (Status status = one.watch->follow(*target); !status) {
    return spdlog::warn("watching {}: {}", one.target.scope, status.error().message);
  }
  one.target = std::move(*target);
}

/// Lets go of what nobody asks for; true if something is attached still.
bool Watches::Core::look_after() {
  const nanoseconds now = system_clock().monotonic();
  std::vector<std::unique_ptr<Watch>> ended;  // behind the lock: it takes its time
  {
    const std::scoped_lock lock(mutex);
    for (auto it = attached.begin(); it != attached.end();) {
      Attached& one = it->second;
      const bool wanted = !one.askers.empty() || one.kept_until > now;
      if (!wanted) ended.push_back(std::move(one.watch));
      it = wanted ? std::next(it) : attached.erase(it);
    }
  }
  for (auto& [key, one] : attached) {
    if (!one.target.by_name || now - one.looked_at < kFollowEvery) continue;
    one.looked_at = now;
    follow(one);
  }
  return !attached.empty();
}

void Watches::Core::set_series(Registry& registry) {
  const std::scoped_lock lock(mutex);
  for (auto& [key, one] : attached) one.watch->set_series(registry, one.target.scope);
}

namespace {

class WatchCollector : public Collector {
 public:
  explicit WatchCollector(std::function<void(Registry&)> set) : set_(std::move(set)) {}
  [[nodiscard]] std::string_view name() const override { return "watches"; }
  Status collect(Registry& registry) override {
    set_(registry);
    return {};
  }

 private:
  std::function<void(Registry&)> set_;
};

}  // namespace

Watches::Watches(EventLoop& loop, ProbeIdentity identity)
    : loop_(loop), core_(std::make_shared<Core>(std::move(identity))), worker_("watches") {}

Watches::~Watches() = default;

void Watches::configure(const Config& config) {
  worker_.post([core = core_, services = config.services] { core->services = services; });
}

void Watches::open(WatchAsk ask, IdReply reply) {
  const Id id = next_id_++;
  look_after();
  worker_.post([core = core_, &loop = loop_, ask = std::move(ask), id, reply = std::move(reply)]() mutable {
    Status opened = core->open(ask, id);
    loop.post([opened = std::move(opened), id, reply = std::move(reply)]() mutable {
      if (!opened) return reply(std::unexpected(std::move(opened.error())));
      reply(id);
    });
  });
}

void Watches::read(Id id, JsonReply reply) {
  worker_.post([core = core_, &loop = loop_, id, reply = std::move(reply)]() mutable {
    loop.post([answer = core->read(id), reply = std::move(reply)]() mutable { reply(std::move(answer)); });
  });
}

void Watches::close(Id id) {
  worker_.post([core = core_, id] { core->close(id); });
}

void Watches::read_and_keep(WatchAsk ask, nanoseconds how_long, JsonReply reply) {
  look_after();
  worker_.post([core = core_, &loop = loop_, ask = std::move(ask), how_long, reply = std::move(reply)]() mutable {
    loop.post([answer = core->read_and_keep(ask, how_long), reply = std::move(reply)]() mutable {
      reply(std::move(answer));
    });
  });
}

/// Looks every second as long as something is attached.
void Watches::look_after() {
  asked_ = true;
  if (timer_armed_) return;
  timer_armed_ = true;
  if (timer_) return timer_->rearm(kLookEvery);
  auto timer = loop_.add_timer(kLookEvery, [this] {
    asked_ = false;
    worker_.post([this, core = core_] {
      const bool some = core->look_after();
      loop_.post([this, some] {
        // Somebody may have asked since the worker looked.
        timer_armed_ = some || asked_;
        if (timer_armed_) timer_->rearm(kLookEvery);
      });
    });
  });
  if (!timer) return spdlog::error("watches end late: {}", timer.error().message);
  timer_ = std::move(*timer);
}

std::unique_ptr<Collector> Watches::collector() const {
  return std::make_unique<WatchCollector>([weak = std::weak_ptr(core_)](Registry& registry) {
    if (const auto core = weak.lock()) core->set_series(registry);
  });
}

WatchObjects Watches::objects() const {
  WatchObjects objects;
  const std::scoped_lock lock(core_->mutex);
  for (const auto& [key, one] : core_->attached) one.watch->add_objects(objects);
  return objects;
}

}  // namespace chaos
