// Daemon: the composition root. The only place that sees the control path (api → plan → safety → fault → kernel) and
// the data path (kernel → store → api) together; it makes the parts, binds them and holds their order of life.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "announce/announcer.h"
#include "api/events.h"
#include "api/idempotency.h"
#include "api/metrics_server.h"
#include "api/router.h"
#include "api/routes.h"
#include "api/server.h"
#include "api/watch_streams.h"
#include "audit_trail.h"
#include "base/event_loop.h"
#include "base/log.h"
#include "base/result.h"
#include "base/worker.h"
#include "config/load.h"
#include "fault/injector.h"
#include "fault/scenarios.h"
#include "kernel/features.h"
#include "options.h"
#include "own_metrics.h"
#include "place.h"
#include "safety/guardian_keeper.h"
#include "safety/heartbeat.h"
#include "safety/latch.h"
#include "safety/lease.h"
#include "safety/stop_file.h"
#include "safety/undo_journal.h"
#include "service_watch.h"
#include "store/recorder.h"
#include "target_view.h"
#include "telemetry/prober.h"
#include "telemetry/sampler.h"
#include "telemetry/watches.h"

namespace chaos {

/// The logger's options from configuration and command line; the latter wins.
[[nodiscard]] LogOptions log_options(const Config& config, const Options& options);

class Daemon {
 public:
  /// Makes everything and attaches nothing. Errors are complete: what failed, why, what to do.
  static Result<std::unique_ptr<Daemon>> create(Options options, ConfigReport config);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Serves until SIGTERM or SIGINT, then ends all scenarios in order. The exit code.
  Result<int> run();

 private:
  Daemon(Options options, ConfigReport config);
  Status open_state();
  Status settle_leftovers();
  Status open_journal();
  Status load_mechanisms();
  Status bind_signals();
  Status open_api();
  Status serve_metrics(const Config& config);
  [[nodiscard]] Backend make_backend();
  void bind_scenarios(Backend& backend);
  void bind_host(Backend& backend);
  void bind_audit(Backend& backend);
  void bind_telemetry(Backend& backend);
  [[nodiscard]] std::vector<std::unique_ptr<Collector>> collectors() const;
  Status adopt_history();
  void report_replays();
  void on_change(const Scenario& scenario);
  void write_ahead(const Scenario& scenario, std::move_only_function<void(Status)> done);
  void reload(Backend::JsonReply reply);
  Status apply(ConfigReport report);
  /// Tells the service manager, once.
  void tell_ready();
  void set_status() const;
  void stop(std::string_view why);
  [[nodiscard]] nlohmann::json health() const;
  [[nodiscard]] OwnMetrics::Now own_state() const;
  [[nodiscard]] std::vector<OwnValue> own_values();
  void list(bool include_ended, Backend::JsonReply reply);
  void find(std::string id, Backend::JsonReply reply);
  void list_services(Backend::JsonReply reply);
  void on_health(const std::string& service, const ServiceHealth& health);
  void on_service(const ServiceState& service, bool was_running);
  void survey_residue(Backend::JsonReply reply);
  void survey_features(Backend::JsonReply reply);

  const Options options_;
  ConfigReport config_;
  const std::chrono::nanoseconds started_at_;
  std::optional<Place> place_;
  std::unique_ptr<EventLoop> loop_;
  std::vector<EventLoop::SourcePtr> signals_;
  bool told_ready_ = false;
  std::optional<Latch> latch_;
  std::unique_ptr<StopFile> stop_file_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<AuditTrail> trail_;
  std::unique_ptr<Announcer> announcer_;
  std::unique_ptr<UndoJournal> journal_;
  std::optional<Heartbeat> heartbeat_;
  std::unique_ptr<GuardianKeeper> guardian_;
  std::unique_ptr<Injector> injector_;
  std::unique_ptr<Lease> lease_;
  std::unique_ptr<EventHub> events_;
  std::unique_ptr<Scenarios> scenarios_;
  std::unique_ptr<Worker> kernel_worker_;  ///< plans, links
  std::unique_ptr<Worker> survey_worker_;  ///< residue, features: slow looks at the host
  std::vector<Feature> features_;          ///< survey worker only
  std::unique_ptr<ServiceWatch> services_;
  std::unique_ptr<TargetView> targets_;
  OwnMetrics own_metrics_;
  std::unique_ptr<Watches> watches_;
  std::unique_ptr<WatchStreams> watch_streams_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Prober> prober_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<IdempotencyTable> idempotency_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<MetricsServer> metrics_server_;
};

}  // namespace chaos
