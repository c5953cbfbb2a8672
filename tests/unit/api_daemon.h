// FakeDaemon: the whole API over real sockets, with a Backend that remembers what it was asked for.
#pragma once

#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/events.h"
#include "api/idempotency.h"
#include "api/problem.h"
#include "api/router.h"
#include "api/routes.h"
#include "api/schema.h"
#include "api_scenarios.h"
#include "api_support.h"

namespace chaos::test {

class FakeDaemon {
 public:
  FakeDaemon() {
    bind_scenarios();
    bind_reports();
    server_.thread().call([this] {
      hub_ = std::move(EventHub::create(server_.thread().loop(), {}).value());
      router_ = std::make_unique<Router>(
          make_routes(backend, *hub_, "1.2.3"), table_, [this](AuditEntry entry) { log_.push_back(std::move(entry)); },
          system_clock());
    });
  }
  ~FakeDaemon() {
    server_.destroy();
    server_.thread().call([this] { hub_.reset(); });
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  Reply ask(std::string_view method, std::string_view target, std::string_view body = {},
            const HeaderList& headers = {}) {
    return test::ask(server_.path(), method, target, body, headers);
  }
  std::vector<AuditEntry> take_log() {
    return thread().call([this] { return std::exchange(log_, {}); });
  }
  [[nodiscard]] const std::vector<Route>& routes() const { return router_->routes(); }
  LoopThread& thread() { return server_.thread(); }
  EventHub& hub() { return *hub_; }
  [[nodiscard]] const std::string& path() const { return server_.path(); }

  // What the backend was asked for, and what it is to answer. Loop thread while requests are under way.
  Backend backend;
  std::vector<ScenarioRequest> started;
  std::vector<std::string> stopped;
  bool dropped_in_flight = false;
  std::vector<std::string> emergencies;
  std::optional<Error> refusal;              ///< of start, stop, rearm, features
  std::vector<Backend::ScenarioReply> kept;  ///< starts that wait, if `late`
  bool late = false;
  std::string level = "info";
  std::vector<std::string> patterns;
  std::vector<HistoryQuery> queries;
  std::vector<WatchQuery> watched;
  std::pair<std::size_t, std::int64_t> audit_page;  ///< limit and before
  Result<AuditVerification> verification =
      AuditVerification{.checked = 12,
                        .unchained = 3,
                        .head = {std::byte{0x01}, std::byte{0xfe}},
                        .problem = AuditVerification::Problem{13, AuditFault::kAltered}};

  static constexpr const char* kRequest =
      R"({"kind": "packet_loss", "target": {"interface": "eth0"}, "reason": "why"})";

 private:
  void bind_scenarios() {
    backend.start = [this](ScenarioRequest request, const Caller&, Backend::ScenarioReply reply) {
      if (refusal) return reply(std::unexpected(*refusal));
      started.push_back(request);
      if (late) return kept.push_back(std::move(reply));
      reply(full_scenario());
    };
    backend.plan = [this](ScenarioRequest, const Caller&, Backend::PlanReply reply) {
      reply(PlanOutcome{.scenario = full_scenario(), .refusal = refusal});
    };
    backend.stop = [this](std::string_view id, InFlight held, Backend::ScenarioReply reply) {
      if (refusal) return reply(std::unexpected(*refusal));
      dropped_in_flight = held == InFlight::kDrop;
      stopped.emplace_back(id);
      reply(full_scenario());
    };
    backend.emergency_stop = [this](std::string_view why) {
      emergencies.emplace_back(why);
      return std::vector<std::string>{full_scenario().id};
    };
    backend.rearm = [this]() -> Status {
      if (refusal) return std::unexpected(*refusal);
      return {};
    };
    backend.list = [](bool ended, Backend::JsonReply reply) {
      auto list = nlohmann::json::array();
      if (ended) list.push_back(to_json(full_scenario()));
      reply(std::move(list));
    };
    backend.find = [](std::string id, Backend::JsonReply reply) {
      if (id != full_scenario().id) return reply(fail(Errc::kNotFound, "there is no scenario " + id, "id"));
      reply(to_json(full_scenario()));
    };
  }

  void bind_reports() {
    using nlohmann::json;
    backend.health = [] {
      return json{{"status", "ok"}, {"version", "1.2.3"},     {"instance", "i"},
                  {"armed", true},  {"latched", false},       {"latch_reason", ""},
                  {"active", 0},    {"lease_margin_ms", 700}, {"uptime_seconds", 1.5}};
    };
    backend.kinds = [] { return std::vector<const KindSpec*>{&full_kind()}; };
    backend.kind_policy = [](std::string_view) {
      return json{{"enabled", true},
                  {"severity_levels", {1, 2}},
                  {"blast_radius_limit", "30%"},
                  {"bounds", {{"rate", {{"max", "1"}}}}},
                  {"severity", json::object()}};
    };
    backend.services = [](Backend::JsonReply reply) {
      reply(json{{"services",
                  {{{"name", "web"},
                    {"place", "unit nginx.service"},
                    {"running", true},
                    {"pids", {7}},
                    {"cgroup", "/system.slice/nginx.service"},
                    {"netns", {4026531840}},
                    {"ports", {80}},
                    {"weight", 1.0},
                    {"touched_by", json::array()},
                    {"health",
                     {{"state", "unhealthy"},
                      {"reason", "no answer"},
                      {"since", "2026-11-24T06:39:37.100Z"},
                      {"checked_at", "2026-11-24T06:39:37.100Z"},
                      {"took_ms", 1.5}}}}}}});
    };
    backend.features = [this](Backend::JsonReply reply) {
      if (refusal) return reply(std::unexpected(*refusal));
      reply(json{
          {"kernel", "6.1"},
          {"features", {{{"name", "tcx"}, {"available", false}, {"reason", "too old"}, {"used_instead", "clsact"}}}}});
    };
    backend.metrics = [this](std::string pattern, Backend::TextReply reply) {
      patterns.push_back(std::move(pattern));
      reply(json{{"time", "2026-11-24T06:39:37.100Z"},
                 {"metrics",
                  {{{"name", "chaosd_host_oom_kills_total"},
                    {"type", "counter"},
                    {"unit", ""},
                    {"help", "h"},
                    {"labels", {{"a", "b"}}},
                    {"value", 1.5},
                    {"time", "2026-11-24T06:39:37.100Z"}}}}}
                .dump());
    };
    backend.metric_history = [this](HistoryQuery query, Backend::TextReply reply) {
      queries.push_back(std::move(query));
      reply(json{{"metric", "m"},
                 {"type", "gauge"},
                 {"unit", ""},
                 {"aggregation", "last"},
                 {"step_ms", 0},
                 {"series", {{{"labels", json::object()}, {"points", json::array()}}}}}
                .dump());
    };
    backend.watch = [this](WatchQuery query, std::move_only_function<void(Result<HttpResponse>)> reply) {
      if (refusal) return reply(std::unexpected(*refusal));
      watched.push_back(query);
      const WatchKind kind = query.ask.kind;
      reply(json_response(200, kind == WatchKind::kDrops ? drops_report()
                               : kind == WatchKind::kTcp ? tcp_report()
                                                         : syscalls_report()));
    };
    backend.exposition = [](ExpositionFormat format, Backend::TextReply reply) {
      reply(format == ExpositionFormat::kText ? "text\n" : "open\n");
    };
    backend.residue = [](Backend::JsonReply reply) {
      reply(json{{"clean", false}, {"residue", {{{"class", "link"}, {"id", "7"}, {"detail", "tcx"}}}}});
    };
    backend.audit = [this](std::size_t limit, std::int64_t before, Backend::AuditReply reply) {
      audit_page = {limit, before};
      AuditEntry entry;
      entry.seq = 7;
      entry.login_uid = 1000;
      entry.comm = entry.socket = entry.scenario_id = entry.detail = "x";
      entry.hash = AuditHash{std::byte{0xab}};
      reply(std::vector<AuditEntry>{entry});
    };
    backend.verify_audit = [this](Backend::AuditVerifyReply reply) { reply(verification); };
    backend.log_level = [this] { return level; };
    backend.set_log_level = [this](std::string_view to) -> Status {
      if (to != "debug") return fail(Errc::kInvalid, "unknown level", "level", "one of trace, debug, ...");
      level = to;
      return {};
    };
    backend.reload = [](Backend::JsonReply reply) { reply(json{{"reloaded", true}, {"warnings", json::array()}}); };
  }

  static nlohmann::json drops_report() {
    return {{"scope", "service web"},
            {"since", "2026-11-24T06:39:37.100Z"},
            {"until", "2026-11-24T06:39:38.100Z"},
            {"seconds", 1.0},
            {"total", 3},
            {"natural", 1},
            {"injected", 2},
            {"delay_line", 0},
            {"reasons", {{{"reason", "TC_INGRESS"}, {"origin", "injected"}, {"count", 2}}}},
            {"without_socket", {{"natural", 1}, {"injected", 0}, {"delay_line", 0}}},
            {"oom_kills", 0},
            {"missed", 0},
            {"notes", {"n"}}};
  }
  static nlohmann::json tcp_report() {
    return {{"scope", "host"},
            {"since", "2026-11-24T06:39:37.100Z"},
            {"until", "2026-11-24T06:39:38.100Z"},
            {"seconds", 1.0},
            {"retransmits", {{"packets", 1}, {"segments", 2}, {"syn", 0}, {"synack", 0}}},
            {"resets", {{"sent", 1}, {"received", 0}, {"sent_without_socket", 0}}},
            {"rtt",
             {{"samples", 1},
              {"mean_us", 500},
              {"min_us", 480},
              {"p50_us", 511},
              {"p90_us", 511},
              {"p99_us", 511},
              {"max_us", 511},
              {"buckets", {{{"le_us", 511}, {"count", 1}}}}}},
            {"sockets",
             {{"count", 1},
              {"states", {{"ESTABLISHED", 1}}},
              {"rtt_us", {{"min", 1}, {"p50", 1}, {"max", 1}}},
              {"retransmits", 0},
              {"lost", 0},
              {"unacked", 0},
              {"send_queue_bytes", 0},
              {"receive_queue_bytes", 0}}},
            {"missed", 0},
            {"notes", nlohmann::json::array()}};
  }

  static nlohmann::json syscalls_report() {
    return {{"scope", "process 7 (x)"},
            {"since", "2026-11-24T06:39:37.100Z"},
            {"until", "2026-11-24T06:39:38.100Z"},
            {"seconds", 1.0},
            {"calls", 5},
            {"errors", {{"natural", 1}, {"injected", 1}}},
            {"syscalls",
             {{{"name", "read"},
               {"calls", 5},
               {"errors", {{"natural", 1}, {"injected", 1}}},
               {"errnos", {{{"errno", "EIO"}, {"natural", 1}, {"injected", 1}}}},
               {"latency",
                {{"mean_us", 1.5},
                 {"p50_us", 1.0},
                 {"p90_us", 2.0},
                 {"p99_us", 2.0},
                 {"max_us", 2.0},
                 {"buckets", {{{"le_ns", 2047}, {"count", 5}}}}}}}}},
            {"missed", 0},
            {"notes", nlohmann::json::array()}};
  }

  IdempotencyTable table_{system_clock()};
  std::vector<AuditEntry> log_;
  std::unique_ptr<EventHub> hub_;
  std::unique_ptr<Router> router_;
  // Whoever runs the tests may operate.
  TestServer server_{
      [this](const HttpRequest& request, Respond respond) { router_->dispatch(request, std::move(respond)); },
      HttpLimits{}, RoleGroups{.operate = ::getgid(), .view = {}}};
};

}  // namespace chaos::test
