// Daemon, second half: what the API's routes call, bound to the parts.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include <nlohmann/json.hpp>
#include <ranges>

#include "api/schema.h"
#include "base/contains.h"
#include "base/log.h"
#include "base/units.h"
#include "daemon.h"
#include "fault/registry.h"
#include "safety/admission.h"
#include "safety/residue.h"
#include "version.h"

namespace chaos {

using nlohmann::json;

namespace {

constexpr std::size_t kHistoryShown = 1000;

bool accounted(const ResidueItem& item, const PacketEngine::Objects& own) {
  if (item.cls == residue::kDevice) return own.devices.contains(item.id);
  if (item.cls == residue::kQdisc) {
    // "... program N": attached since the look began.
    auto program = parse_unsigned(std::string_view(item.detail).substr(item.detail.rfind(' ') + 1));
    return program && own.programs.contains(static_cast<std::uint32_t>(*program));
  }
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

json kind_policy(const ChaosTesting& testing, std::string_view kind) {
  const auto found = testing.scenarios.find(kind);
  const KindPolicy policy = found == testing.scenarios.end() ? KindPolicy{} : found->second;
  json levels = json::array();
  for (const int level : policy.severity_levels) {
    if (level <= testing.max_severity) levels.push_back(level);
  }
  json bounds = json::object();
  for (const auto& [name, limits] : policy.bounds) {
    if (limits.min) bounds[name]["min"] = *limits.min;
    if (limits.max) bounds[name]["max"] = *limits.max;
  }
  json severity = json::object();
  for (const auto& [name, steps] : policy.severity) {
    for (int level = 1; level <= 5; ++level) {
      severity[name][std::to_string(level)] = steps[severity_step(steps.size(), level)];
    }
  }
  return {{"enabled", policy.enabled},
          {"severity_levels", std::move(levels)},
          {"blast_radius_limit", policy.blast_radius_limit.value_or(testing.blast_radius_limit).str()},
          {"bounds", std::move(bounds)},
          {"severity", std::move(severity)}};
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
  bind_audit(backend);
  bind_telemetry(backend);
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
  backend.stop = [this](std::string_view id, InFlight held, Backend::ScenarioReply reply) {
    scenarios_->stop(id, held, std::move(reply));
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
    Status status = stop_file_->remove();
    if (status) status = scenarios_->rearm();
    if (!status) return status;
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
  backend.kind_policy = [this](std::string_view kind) { return kind_policy(config_.config.chaos_testing, kind); };
  backend.features = [this](Backend::JsonReply reply) { survey_features(std::move(reply)); };
  backend.services = [this](Backend::JsonReply reply) { list_services(std::move(reply)); };
  backend.residue = [this](Backend::JsonReply reply) { survey_residue(std::move(reply)); };
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

void Daemon::bind_audit(Backend& backend) {
  backend.audit = [this](std::size_t limit, std::int64_t before, Backend::AuditReply reply) {
    recorder_->list_audit(limit, before, [this, reply = std::move(reply)](auto entries) mutable {
      loop_->post([entries = std::move(entries), reply = std::move(reply)]() mutable { reply(std::move(entries)); });
    });
  };
  backend.verify_audit = [this](Backend::AuditVerifyReply reply) {
    recorder_->verify_audit([this, reply = std::move(reply)](auto result) mutable {
      loop_->post([result = std::move(result), reply = std::move(reply)]() mutable { reply(std::move(result)); });
    });
  };
}

void Daemon::bind_telemetry(Backend& backend) {
  backend.metrics = [this](std::string pattern, Backend::TextReply reply) {
    sampler_->metrics(std::move(pattern), std::move(reply));
  };
  backend.metric_history = [this](HistoryQuery query, Backend::TextReply reply) {
    sampler_->history(std::move(query), std::move(reply));
  };
  backend.watch = [this](WatchQuery query, WatchStreams::Reply reply) {
    watch_streams_->answer(std::move(query), std::move(reply));
  };
  backend.exposition = [this](ExpositionFormat format, Backend::TextReply reply) {
    sampler_->exposition(format, std::move(reply));
  };
}

std::vector<std::unique_ptr<Collector>> Daemon::collectors() const {
  auto all = host_collectors();
  all.push_back(watches_->collector());
  return all;
}

OwnMetrics::Now Daemon::own_state() const {
  return {.armed = injector_->armed(),
          .latched = latch_->engaged(),
          .lease_margin = lease_->margin(),
          .running = scenarios_->running(),
          .waiting = scenarios_->waiting(),
          .subscribers = events_->subscribers()};
}

json Daemon::health() const {
  const bool ok = !latch_->engaged() && !recorder_->audit_broken() && !lease_->lapsed();
  const auto margin = std::chrono::duration_cast<std::chrono::milliseconds>(lease_->margin());
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(system_clock().monotonic() - started_at_);
  json body{{"status", ok ? "ok" : "degraded"},
            {"version", kVersion},
            {"instance", options_.instance},
            {"pid", getpid()},
            {"armed", injector_->armed()},
            {"latched", latch_->engaged()},
            {"active", scenarios_->running()},
            {"queued", scenarios_->waiting()},
            {"lease_margin_ms", margin.count()},
            {"lease_realtime", lease_->realtime()},
            {"audit_writable", !recorder_->audit_broken()},
            {"guardian_pid", guardian_->pid() > 0 ? json(guardian_->pid()) : json(nullptr)},
            {"journaled_changes", journal_->open_changes()},
            {"uptime_seconds", uptime.count()},
            {"active_ids", scenarios_->running_ids()}};
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

void Daemon::list_services(Backend::JsonReply reply) {
  services_->look([this, reply = std::move(reply)](Result<std::vector<ServiceState>> services) mutable {
    if (!services) return reply(std::unexpected(services.error()));
    const std::vector<Scenario> scenarios = scenarios_->list();
    json list = json::array();
    for (const ServiceState& service : *services) {
      json touched_by = json::array();
      for (const Scenario& scenario : scenarios) {
        const bool everything = scenario.plan.blast_radius == format_share(1.0);
        if (scenario.state == State::kQueued) continue;
        if (everything || contains(scenario.plan.touches, "service " + service.name)) touched_by.push_back(scenario.id);
      }
      list.push_back(to_json(service));
      if (const auto health = prober_->health().find(service.name); health != prober_->health().end()) {
        list.back()["health"] = to_json(health->second);
      }
      list.back()["touched_by"] = std::move(touched_by);
    }
    reply(json{{"services", std::move(list)}});
  });
}

void Daemon::on_service(const ServiceState& service, bool was_running) {
  const std::string_view what = service.pids.empty() ? "has stopped" : was_running ? "was restarted" : "has started";
  spdlog::info("service {} {}", service.name, what);
  json event = to_json(service);
  event["change"] = service.pids.empty() ? "stopped" : was_running ? "restarted" : "started";
  events_->publish("service", event);
}

void Daemon::on_health(const std::string& service, const ServiceHealth& health) {
  const bool healthy = health.state == Health::kHealthy;
  spdlog::log(healthy ? spdlog::level::info : spdlog::level::warn, "service {} is {}{}{}", service,
              to_string(health.state), health.reason.empty() ? "" : ": ", health.reason);
  json event = to_json(health);
  event["name"] = service;
  events_->publish("health", event);
}

std::vector<OwnValue> Daemon::own_values() {
  std::vector<OwnValue> values = own_metrics_.values(own_state(), scenarios_->list());
  std::ranges::move(prober_->values(), std::back_inserter(values));
  return values;
}

void Daemon::survey_residue(Backend::JsonReply reply) {
  survey_worker_->post([this, reply = std::move(reply)]() mutable {
    ResidueScope scope;
    scope.instance = options_.instance;
    scope.runtime_dir = options_.runtime_dir;
    scope.daemon_alive = true;
    scope.own_pid = getpid();
    scope.own_processes.insert(guardian_->process());
    scope.own_files.insert(undo_file(options_.runtime_dir));
    // Twice, around the look: what a scenario took down or put up meanwhile is accounted for.
    const auto own_objects = [this] {
      PacketEngine::Objects own = injector_->objects();
      WatchObjects watching = watches_->objects();
      own.links.merge(watching.links);
      own.programs.merge(watching.programs);
      own.maps.merge(watching.maps);
      return own;
    };
    const PacketEngine::Objects before = own_objects();
    scope.own_links = before.links;
    scope.own_programs = before.programs;
    scope.own_maps = before.maps;
    auto found = find_residue(scope);
    PacketEngine::Objects own = own_objects();
    own.links.insert(before.links.begin(), before.links.end());
    own.programs.insert(before.programs.begin(), before.programs.end());
    own.maps.insert(before.maps.begin(), before.maps.end());
    own.devices.insert(before.devices.begin(), before.devices.end());
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
  if (!status) {
    sd_notify(0, "READY=1");
    return reply(with_context("configuration not reloaded", status.error()));
  }
  spdlog::info("configuration reloaded from {}", options_.config.string());
  const bool ends = report->config.chaos_testing.on_reload == OnReload::kEnd;
  json misfits = json::array();
  for (const Schedule::Misfit& misfit : scenarios_->configure(report->config)) {
    misfits.push_back({{"id", misfit.id},
                       {"message", misfit.why.message},
                       {"rule", misfit.why.rule},
                       {"action", ends ? "ended" : "kept"}});
  }
  sd_notify(0, "READY=1");
  events_->publish("config_reloaded", json{{"warnings", report->warnings}, {"no_longer_fit", misfits}});
  reply(json{{"reloaded", true},
             {"warnings", report->warnings},
             {"not_in_effect", report->not_in_effect},
             {"no_longer_fit", std::move(misfits)}});
}

Status Daemon::apply(ConfigReport report) {
  const Config& config = report.config;
  if (Status status = check_kind_policies(config.chaos_testing); !status) return status;
  if (Status status = serve_metrics(config); !status) return status;
  if (Status status = set_up_logging(log_options(config, options_)); !status) return status;
  kernel_worker_->post([this, protect = config.protect] {
    if (Status status = injector_->configure(protect); !status) spdlog::error("reload: {}", status.error().message);
  });
  services_->configure(config);
  targets_->configure(config);
  prober_->configure(config);
  sampler_->configure(config);
  watches_->configure(config);
  server_->set_groups(RoleGroups::look_up(config.api.operate_group, config.api.view_group));
  announcer_->configure(config.webhooks, logs_to_journal(log_options(config, options_)));
  config_ = std::move(report);
  return {};
}

}  // namespace chaos
