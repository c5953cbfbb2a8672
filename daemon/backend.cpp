// Daemon, second half: what the API's routes call, bound to the parts.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <nlohmann/json.hpp>
#include <ranges>

#include "api/schema.h"
#include "base/log.h"
#include "base/units.h"
#include "daemon.h"
#include "fault/registry.h"
#include "safety/residue.h"
#include "version.h"

namespace chaos {

using nlohmann::json;

namespace {

constexpr std::size_t kHistoryShown = 1000;

bool accounted(const ResidueItem& item, const PacketEngine::Objects& own) {
  const std::set<std::uint32_t>* ids = item.cls == residue::kLink      ? &own.links
                                       : item.cls == residue::kProgram ? &own.programs
                                       : item.cls == residue::kMap     ? &own.maps
                                                                       : nullptr;
  if (ids == nullptr) return false;
  auto id = parse_unsigned(item.id);
  return id && ids->contains(static_cast<std::uint32_t>(*id));
}

/// Names and values of the configuration that only the kinds themselves can judge.
Status check_kind_policies(const ChaosTesting& policy) {
  for (const FaultKind* kind : fault_kinds()) {
    auto it = policy.scenarios.find(kind->spec.name);
    if (it == policy.scenarios.end()) continue;
    if (Status status = check_policy(kind->spec, parameter_policy(it->second)); !status) {
      return with_context("chaos_testing.scenarios." + std::string(kind->spec.name), status.error());
    }
  }
  return {};
}

}  // namespace

LogOptions log_options(const Config& config, const Options& options) {
  const Log& log = config.log;
  LogOptions out;
  out.level = options.log_level.empty() ? log.level : options.log_level;
  out.file = log.file.path;
  out.max_bytes = log.file.rotate_size;
  out.max_files = log.file.rotate_count;
  out.journald = log.journald;
  out.instance = options.instance;
  return out;
}

Backend Daemon::make_backend() {
  Backend backend;
  bind_scenarios(backend);
  bind_host(backend);
  return backend;
}

void Daemon::bind_scenarios(Backend& backend) {
  backend.start = [this](ScenarioRequest request, const Caller& caller, Backend::ScenarioReply reply) {
    // It acts at once, and is answered once it is on record: what chaosd has said it knows after a kill as well.
    scenarios_->start(std::move(request), caller, [this, reply = std::move(reply)](Result<Scenario> scenario) mutable {
      if (!scenario) return reply(std::move(scenario));
      recorder_->flush([this, scenario = std::move(scenario), reply = std::move(reply)]() mutable {
        loop_->post(
            [scenario = std::move(scenario), reply = std::move(reply)]() mutable { reply(std::move(scenario)); });
      });
    });
  };
  backend.plan = [this](ScenarioRequest request, const Caller& caller, Backend::PlanReply reply) {
    scenarios_->plan(std::move(request), caller,
                     [reply = std::move(reply)](Result<Scenarios::PlanReport> report) mutable {
                       if (!report) return reply(std::unexpected(report.error()));
                       reply(PlanOutcome{std::move(report->scenario), std::move(report->refusal)});
                     });
  };
  backend.stop = [this](std::string_view id, const Caller&, Backend::ScenarioReply reply) {
    scenarios_->stop(id, std::move(reply));
  };
  backend.emergency_stop = [this](std::string_view why) {
    auto ids = scenarios_->emergency_stop(why);
    spdlog::critical("EMERGENCY STOP ({}): {} scenarios ended, latched", why, ids.size());
    events_->publish("emergency_stop", json{{"reason", why}, {"stopped", ids}});
    announcer_->emergency_stop(why, ids);
    set_status();
    return ids;
  };
  backend.rearm = [this]() -> Status {
    std::error_code err;
    std::filesystem::remove(options_.stop_file(), err);
    if (err) return fail(Errc::kInternal, "remove " + options_.stop_file().string() + ": " + err.message());
    if (Status status = scenarios_->rearm(); !status) return status;
    spdlog::warn("re-armed: scenarios may start again");
    events_->publish("rearm", json::object());
    set_status();
    return {};
  };
  backend.list = [this](bool include_ended, Backend::JsonReply reply) { list(include_ended, std::move(reply)); };
  backend.find = [this](std::string id, Backend::JsonReply reply) { find(std::move(id), std::move(reply)); };
}

void Daemon::bind_host(Backend& backend) {
  backend.health = [this] { return health(); };
  backend.kinds = [] {
    std::vector<const KindSpec*> specs;
    for (const FaultKind* kind : fault_kinds()) specs.push_back(&kind->spec);
    return specs;
  };
  backend.features = [this](Backend::JsonReply reply) { survey_features(std::move(reply)); };
  backend.residue = [this](Backend::JsonReply reply) { survey_residue(std::move(reply)); };
  backend.audit = [this](std::size_t limit, std::int64_t before, Backend::AuditReply reply) {
    recorder_->list_audit(limit, before, [this, reply = std::move(reply)](auto entries) mutable {
      loop_->post([entries = std::move(entries), reply = std::move(reply)]() mutable { reply(std::move(entries)); });
    });
  };
  backend.log_level = [] { return log_level(); };
  backend.set_log_level = [](std::string_view level) -> Status {
    Status status = set_log_level(level);
    if (!status) {
      Error error = status.error();
      error.field = "level";
      return std::unexpected(std::move(error));
    }
    return {};
  };
  backend.reload = [this](Backend::JsonReply reply) { reload(std::move(reply)); };
}

json Daemon::health() const {
  const bool ok = !latch_->engaged() && !recorder_->audit_broken() && !lease_->lapsed();
  const auto margin = std::chrono::duration_cast<std::chrono::milliseconds>(lease_->margin());
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(system_clock().monotonic() - started_at_);
  json body{{"status", ok ? "ok" : "degraded"},     {"version", kVersion},
            {"instance", options_.instance},        {"pid", getpid()},
            {"armed", injector_->armed()},          {"latched", latch_->engaged()},
            {"active", scenarios_->running()},      {"lease_margin_ms", margin.count()},
            {"lease_realtime", lease_->realtime()}, {"audit_writable", !recorder_->audit_broken()},
            {"uptime_seconds", uptime.count()},     {"active_ids", json::array()}};
  for (const Scenario& scenario : scenarios_->list()) body["active_ids"].push_back(scenario.id);
  if (latch_->engaged()) body["latch_reason"] = latch_->reason();
  if (const auto counts = announcer_->webhook_counts()) {
    body["webhooks"] = {{"delivered", counts->delivered},
                        {"failed", counts->failed},
                        {"dropped", counts->dropped},
                        {"pending", counts->pending}};
  }
  return body;
}

void Daemon::list(bool include_ended, Backend::JsonReply reply) {
  json running = json::array();
  const std::vector<Scenario> oldest_first = scenarios_->list();
  for (const Scenario& scenario : std::views::reverse(oldest_first)) running.push_back(to_json(scenario));
  if (!include_ended) return reply(std::move(running));
  recorder_->list_ended(kHistoryShown, [this, all = std::move(running), reply = std::move(reply)](auto rows) mutable {
    loop_->post([rows = std::move(rows), all = std::move(all), reply = std::move(reply)]() mutable {
      if (!rows) return reply(std::unexpected(rows.error()));
      for (const ScenarioRow& row : *rows) {
        if (auto scenario = parse_json(row.json)) all.push_back(std::move(*scenario));
      }
      reply(std::move(all));
    });
  });
}

void Daemon::find(std::string id, Backend::JsonReply reply) {
  if (auto running = scenarios_->find(id)) return reply(to_json(*running));
  recorder_->find(std::move(id), [this, reply = std::move(reply)](Result<ScenarioRow> row) mutable {
    loop_->post([row = std::move(row), reply = std::move(reply)]() mutable {
      if (!row) return reply(std::unexpected(row.error()));
      reply(parse_json(row->json));
    });
  });
}

void Daemon::survey_residue(Backend::JsonReply reply) {
  survey_worker_->post([this, reply = std::move(reply)]() mutable {
    ResidueScope scope;
    scope.instance = options_.instance;
    scope.runtime_dir = options_.runtime_dir;
    scope.daemon_alive = true;
    scope.own_pid = getpid();
    // Twice, around the look: what a scenario took down or put up meanwhile is accounted for.
    const PacketEngine::Objects before = injector_->packets().objects();
    auto found = find_residue(scope);
    PacketEngine::Objects own = injector_->packets().objects();
    own.links.insert(before.links.begin(), before.links.end());
    own.programs.insert(before.programs.begin(), before.programs.end());
    own.maps.insert(before.maps.begin(), before.maps.end());
    loop_->post([found = std::move(found), own = std::move(own), reply = std::move(reply)]() mutable {
      if (!found) return reply(std::unexpected(found.error()));
      json list = json::array();
      for (const ResidueItem& item : *found) {
        if (accounted(item, own)) continue;
        list.push_back({{"class", item.cls}, {"id", item.id}, {"detail", item.detail}});
      }
      reply(json{{"clean", list.empty()}, {"residue", std::move(list)}});
    });
  });
}

void Daemon::survey_features(Backend::JsonReply reply) {
  survey_worker_->post([this, reply = std::move(reply)]() mutable {
    if (features_.empty()) features_ = probe_features();
    json list = json::array();
    for (const Feature& feature : features_) {
      list.push_back({{"name", feature.name},
                      {"available", feature.available},
                      {"reason", feature.reason},
                      {"used_instead", feature.used_instead}});
    }
    loop_->post([body = json{{"kernel", kernel_release()}, {"features", std::move(list)}},
                 reply = std::move(reply)]() mutable { reply(std::move(body)); });
  });
}

void Daemon::reload(Backend::JsonReply reply) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", now.tv_sec * 1'000'000LL + now.tv_nsec / 1000);
  auto report = load_config(options_.config);
  Status status = report ? apply(*report) : std::unexpected(report.error());
  sd_notify(0, "READY=1");
  if (!status) return reply(with_context("configuration not reloaded", status.error()));
  spdlog::info("configuration reloaded from {}", options_.config.string());
  events_->publish("config_reloaded", json{{"warnings", report->warnings}});
  reply(json{{"reloaded", true}, {"warnings", report->warnings}, {"not_in_effect", report->not_in_effect}});
}

Status Daemon::apply(ConfigReport report) {
  const Config& config = report.config;
  if (Status status = check_kind_policies(config.chaos_testing); !status) return status;
  if (Status status = set_up_logging(log_options(config, options_)); !status) return status;
  kernel_worker_->post([this, protect = config.protect] {
    if (Status status = injector_->configure(protect); !status) spdlog::error("reload: {}", status.error().message);
  });
  scenarios_->set_policy(config.chaos_testing);
  server_->set_groups(RoleGroups::look_up(config.api.operate_group, config.api.view_group));
  announcer_->configure(config.webhooks, logs_to_journal(log_options(config, options_)));
  config_ = std::move(report);
  return {};
}

}  // namespace chaos
