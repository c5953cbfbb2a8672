#include "daemon.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <csignal>
#include <utility>

#include "api/problem.h"
#include "api/schema.h"
#include "base/instance.h"
#include "base/log.h"
#include "fault/registry.h"
#include "safety/crash_guard.h"
#include "safety/undo_replay.h"
#include "version.h"

namespace chaos {

namespace {

constexpr int kNice = -15;
constexpr std::chrono::seconds kGuardianWait{2};  // before READY; it takes some ms
constexpr unsigned kServerHeaderBytes = 16 * 1024;
constexpr int kProcessing = 102;  // an HTTP status: taken on, not finished

/// Of what the verifier says about a program the end matters, which is why it was refused.
int log_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
  constexpr std::size_t kShown = 2000;
  if (level == LIBBPF_DEBUG) return 0;
  va_list again;
  va_copy(again, arguments);
  const int length = vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (length < 0) return 0;
  std::string text(static_cast<std::size_t>(length) + 1, '\0');
  vsnprintf(text.data(), text.size(), format, arguments);
  text.resize(static_cast<std::size_t>(length));
  std::string_view line(text);
  while (line.ends_with('\n')) line.remove_suffix(1);
  if (line.size() > kShown) line.remove_prefix(line.size() - kShown);
  spdlog::debug("{}", line);
  return 0;
}

HttpLimits limits_of(const Api& api) {
  HttpLimits limits;
  limits.body_bytes = api.max_request_bytes;
  limits.header_bytes = kServerHeaderBytes;
  limits.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(api.request_timeout);
  limits.clients = api.max_clients;
  return limits;
}

std::filesystem::path store_file(const Store& store, const std::filesystem::path& state_dir) {
  return store.path.empty() ? state_dir / "chaosd.db" : std::filesystem::path(store.path);
}

/// Beside the store: chaosd-history.db.
std::filesystem::path history_file(const Store& store, const std::filesystem::path& state_dir) {
  const std::filesystem::path file = store_file(store, state_dir);
  return file.parent_path() / (file.stem().string() + "-history.db");
}

ScenarioRow row_of(const Scenario& scenario) {
  return {.id = scenario.id,
          .state = std::string(to_string(scenario.state)),
          .end_reason = std::string(to_string(scenario.end_reason)),
          .kind = scenario.request.kind,
          .created_at = scenario.created_at,
          .ended_at = is_final(scenario.state) ? scenario.ended_at : std::nullopt,
          .json = dump_json(to_json(scenario))};
}

}  // namespace

Daemon::Daemon(Options options, ConfigReport config)
    : options_(std::move(options)), config_(std::move(config)), started_at_(system_clock().monotonic()) {}

Daemon::~Daemon() {
  // Nobody may call into what goes: first the workers finish and join, then the rest goes in reverse order.
  metrics_server_.reset();
  server_.reset();
  kernel_worker_.reset();
  survey_worker_.reset();
  prober_.reset();
  sampler_.reset();
}

Result<std::unique_ptr<Daemon>> Daemon::create(Options options, ConfigReport config) {
  // Before any thread is made: a process that is killed on a busy host frees the kernel only when each of its threads
  // has had the CPU once more.
  if (setpriority(PRIO_PROCESS, 0, kNice) != 0) spdlog::warn("priority not raised: {}", errno_name(errno));
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(options), std::move(config)));
  auto place = Place::take(daemon->options_);
  if (!place) return std::unexpected(place.error());
  daemon->place_.emplace(std::move(*place));
  Status status = daemon->settle_leftovers();
  if (status) status = daemon->bind_signals();
  if (status) status = daemon->open_state();
  if (status) status = daemon->load_mechanisms();
  if (status) status = daemon->open_api();
  if (!status) return std::unexpected(status.error());
  return daemon;
}

Status Daemon::bind_signals() {
  // Before any thread: they inherit the mask, so that signals reach the loop alone.
  auto loop = EventLoop::create();
  if (!loop) return std::unexpected(loop.error());
  loop_ = std::move(*loop);
  struct Binding {
    int signo;
    std::function<void()> action;
  };
  const auto note_outcome = [this](Result<nlohmann::json> outcome) {
    trail_->reloaded(outcome ? Status{} : std::unexpected(outcome.error()), "SIGHUP");
    if (!outcome) spdlog::error("reload: {}; the old configuration stays in force", outcome.error().message);
  };
  const Binding bindings[] = {
      {SIGTERM, [this] { stop("SIGTERM"); }},
      {SIGINT, [this] { stop("SIGINT"); }},
      {SIGHUP, [this, note_outcome] { reload(note_outcome); }},
      {SIGUSR1, [this] { trail_->emergency_stop(backend_->emergency_stop("SIGUSR1"), "SIGUSR1"); }},
  };
  for (const Binding& binding : bindings) {
    auto source = loop_->add_signal(binding.signo, binding.action);
    if (!source) return std::unexpected(source.error());
    signals_.push_back(std::move(*source));
  }
  std::signal(SIGPIPE, SIG_IGN);
  return {};
}

Status Daemon::open_state() {
  latch_.emplace(options_.state_dir);
  auto stop_file = StopFile::watch(*loop_, options_.stop_file(), [this] {
    if (!latch_->engaged()) (void)backend_->emergency_stop("stop file " + options_.stop_file().string());
  });
  if (!stop_file) return std::unexpected(stop_file.error());
  stop_file_ = std::move(*stop_file);
  if (stop_file_->exists() && !latch_->engaged()) {
    if (Status status = latch_->engage("stop file " + options_.stop_file().string()); !status) return status;
  }
  if (latch_->engaged()) spdlog::warn("the emergency stop is latched ({}): nothing starts", latch_->reason());
  const Store& store = config_.config.store;
  const std::filesystem::path file = store_file(store, options_.state_dir);
  Recorder::Retention retention;
  retention.age = std::chrono::duration_cast<std::chrono::seconds>(store.retention);
  auto recorder = Recorder::open(file, retention);
  if (!recorder) return std::unexpected(recorder.error());
  recorder_ = std::move(*recorder);
  if (recorder_->moved_aside()) spdlog::error("{}", recorder_->moved_aside()->message);
  auto trail = AuditTrail::create(*loop_, *recorder_, log_identifier(options_.instance));
  if (!trail) return std::unexpected(trail.error());
  trail_ = std::move(*trail);
  announcer_ = std::make_unique<Announcer>(Announcer::Place{
      .instance = options_.instance, .runtime_dir = options_.runtime_dir, .socket = options_.operate_socket()});
  announcer_->configure(config_.config.webhooks, logs_to_journal(log_options(config_.config, options_)));
  return {};
}

/// What an earlier chaosd left, and what its guardian could not undo, comes first.
Status Daemon::settle_leftovers() {
  const auto replay = replay_undo(options_.runtime_dir, ReplayMode::kAfterDeath, "chaosd at its start");
  if (!replay) return with_context("undo what an earlier chaosd left", replay.error());
  for (const UndoReplay::Item& item : replay->items) {
    if (item.result.outcome != UndoOutcome::kFailed) continue;
    return fail(Errc::kInternal,
                "an earlier chaosd left this, and it cannot be undone: " + item.change + ": " + item.result.detail, {},
                {}, "see chaosctl undo --dry-run");
  }
  return {};
}

Status Daemon::open_journal() {
  auto journal = UndoJournal::open(options_.runtime_dir);
  if (!journal) return std::unexpected(journal.error());
  journal_ = std::move(*journal);
  auto heartbeat = Heartbeat::create();
  if (!heartbeat) return std::unexpected(heartbeat.error());
  heartbeat_.emplace(std::move(*heartbeat));
  auto guardian = GuardianKeeper::start(*loop_, *heartbeat_, *journal_, {options_.runtime_dir, options_.instance},
                                        [this](pid_t pid) {
                                          if (pid > 0) {
                                            spdlog::info("guarded by pid {}", pid);
                                            return tell_ready();
                                          }
                                          if (events_) events_->publish("guardian", nlohmann::json{{"alive", false}});
                                        });
  if (!guardian) return std::unexpected(guardian.error());
  guardian_ = std::move(*guardian);
  return {};
}

Status Daemon::load_mechanisms() {
  libbpf_set_print(log_libbpf);
  // On fault: what is never touched is never locked. Without the privilege the lease is still there, less surely.
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) spdlog::warn("memory not locked: {}", errno_name(errno));
  if (Status status = open_journal(); !status) return status;
  auto injector = Injector::create(options_.instance, *journal_, config_.config.chaos_testing.packet_hook, *heartbeat_);
  if (!injector) return std::unexpected(injector.error());
  injector_ = std::move(*injector);
  if (Status status = injector_->configure(config_.config.protect); !status) return status;
  if (Status status = install_crash_guard(injector_->packets().control()); !status) return status;
  kernel_worker_ = std::make_unique<Worker>("kernel");
  survey_worker_ = std::make_unique<Worker>("survey");
  scenarios_ = std::make_unique<Scenarios>(
      *loop_, *kernel_worker_, *injector_, *latch_, config_.config,
      [this](const Scenario& scenario) { on_change(scenario); },
      [this](const Scenario& scenario, auto done) { write_ahead(scenario, std::move(done)); });
  auto lease = Lease::start(
      injector_->packets().control(), loop_->progress_stamp(),
      [this] { loop_->post([this] { scenarios_->on_lapse(); }); }, &heartbeat_->lease_until_ns());
  if (!lease) return std::unexpected(lease.error());
  lease_ = std::move(*lease);
  scenarios_->set_lease(*lease_);
  if (!latch_->engaged()) injector_->rearm();
  return adopt_history();
}

Status Daemon::adopt_history() {
  constexpr std::string_view kWhy = "chaosd died; the kernel removed the fault";
  auto orphans = recorder_->adopt_orphans("error", kWhy, system_clock().wall());
  if (!orphans) return std::unexpected(orphans.error());
  trail_->adopted(*orphans, "error: " + std::string(kWhy));
  for (const std::string& id : *orphans) spdlog::warn("scenario {} was cut off when the last chaosd died", id);
  report_replays();
  return {};
}

void Daemon::report_replays() {
  for (const nlohmann::json& replay : take_undo_reports(options_.runtime_dir)) {
    const std::string by = replay.value("by", "");
    for (const nlohmann::json& change : replay.value("changes", nlohmann::json::array())) {
      const std::string detail = change.value("detail", "");
      const std::string line = fmt::format("{}: {}{} (by {})", change.value("change", ""), change.value("outcome", ""),
                                           detail.empty() ? "" : ", " + detail, by);
      trail_->undone(line, change.value("outcome", "") == to_string(UndoOutcome::kFailed));
      spdlog::warn("undo after the last chaosd's end: {}", line);
    }
    if (const auto lost = replay.value("lost_records", std::uint64_t{0}); lost > 0) {
      const std::string line = fmt::format("{} records of the undo journal were unreadable; see damaged.undo", lost);
      trail_->undone(line, true);
      spdlog::error("{}", line);
    }
  }
}

Status Daemon::open_api() {
  EventHub::Options hub;
  hub.first_id = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(system_clock().wall().time_since_epoch()).count());
  auto events = EventHub::create(*loop_, hub);
  if (!events) return std::unexpected(events.error());
  events_ = std::move(*events);
  services_ = std::make_unique<ServiceWatch>(
      *loop_, *survey_worker_,
      [this](const ServiceState& service, bool was_running) { on_service(service, was_running); });
  watches_ = std::make_unique<Watches>(
      *loop_, ProbeIdentity{.tag = instance_tag(options_.instance),
                            .drop_mark = injector_->packets().control().drop_mark,
                            .failing_calls = injector_->packets().maps().fd_of("failing_calls"),
                            .watch_calls = &injector_->packets().control().watch_calls});
  watches_->configure(config_.config);
  watch_streams_ = std::make_unique<WatchStreams>(*loop_, *watches_);
  sampler_ = std::make_unique<Sampler>(*loop_, collectors(), history_file(config_.config.store, options_.state_dir),
                                       [this] { return own_values(); });
  prober_ = std::make_unique<Prober>(
      *loop_, [this](const std::string& service, const ServiceHealth& health) { on_health(service, health); });
  prober_->configure(config_.config);
  services_->on_look([this](const std::vector<ServiceState>& services) { sampler_->see_services(services); });
  targets_ = std::make_unique<TargetView>(
      *loop_, *survey_worker_, [this](std::vector<TargetState> targets) { sampler_->see_targets(std::move(targets)); });
  targets_->configure(config_.config);
  services_->configure(config_.config);
  sampler_->configure(config_.config);
  backend_ = std::make_unique<Backend>(make_backend());
  idempotency_ = std::make_unique<IdempotencyTable>(system_clock());
  router_ = std::make_unique<Router>(
      make_routes(*backend_, *events_, kVersion), *idempotency_,
      [this](AuditEntry entry) { recorder_->audit(std::move(entry)); }, system_clock());
  const Api& api = config_.config.api;
  auto server = HttpServer::create(*loop_, limits_of(api), RoleGroups::look_up(api.operate_group, api.view_group),
                                   [this](const HttpRequest& request, Respond respond) {
                                     scenarios_->set_audit_broken(recorder_->audit_broken());
                                     router_->dispatch(request, std::move(respond));
                                   });
  if (!server) return std::unexpected(server.error());
  server_ = std::move(*server);
  auto sockets = open_sockets(options_, api);
  if (!sockets) return std::unexpected(sockets.error());
  for (NamedListener& socket : *sockets) {
    if (Status status = server_->listen(std::move(socket.listener), socket.name, socket.view_only); !status) {
      return status;
    }
  }
  metrics_server_ = std::make_unique<MetricsServer>(
      *loop_, [this](const HttpRequest& request, Respond respond) { router_->dispatch(request, std::move(respond)); });
  return serve_metrics(config_.config);
}

Status Daemon::serve_metrics(const Config& config) {
  Status status = metrics_server_->listen(config.metrics.listen, limits_of(config.api));
  if (!status) return with_context("metrics.listen", status.error());
  return {};
}

Result<int> Daemon::run() {
  // Ready is who can do all that it offers: journaled faults only start while there is a guardian.
  auto unguarded = loop_->add_timer(kGuardianWait, [this] {
    if (told_ready_) return;
    spdlog::warn("there is no guardian yet: faults that need the undo journal are refused until there is one");
    tell_ready();
  });
  if (!unguarded) return std::unexpected(unguarded.error());
  if (Status status = loop_->run(); !status) return std::unexpected(status.error());
  spdlog::info("chaosd has ended; nothing of it is left in the kernel");
  return loop_->exit_code();
}

void Daemon::tell_ready() {
  if (std::exchange(told_ready_, true)) return;
  sd_notify(0, "READY=1");
  set_status();
  spdlog::info("chaosd {} is ready: instance {}, socket {}", kVersion, options_.instance,
               options_.operate_socket().string());
}

void Daemon::stop(std::string_view why) {
  told_ready_ = true;  // it is never told again
  sd_notify(0, "STOPPING=1");
  spdlog::info("stopping: {} scenarios end now, {} that wait are dropped", scenarios_->running(),
               scenarios_->waiting());
  std::vector<std::string> ids;
  for (const Scenario& scenario : scenarios_->list()) {
    if (scenario.end_reason == EndReason::kNone) ids.push_back(scenario.id);
  }
  trail_->caused(ids, why);
  scenarios_->shut_down([this] { loop_->quit(0); });
}

void Daemon::write_ahead(const Scenario& scenario, std::move_only_function<void(Status)> done) {
  AuditEntry entry;
  entry.time = system_clock().wall();
  entry.uid = scenario.owner.uid;
  entry.user = scenario.owner.user;
  entry.login_uid = scenario.owner.login_uid;
  entry.pid = scenario.owner.pid;
  entry.comm = scenario.owner.comm;
  entry.action = "arm_scenario";
  entry.scenario_id = scenario.id;
  entry.status = kProcessing;
  entry.detail = scenario.request.kind + " is about to act";
  recorder_->audit_first(std::move(entry), [this, done = std::move(done)](Status status) mutable {
    loop_->post([done = std::move(done), status = std::move(status)]() mutable { done(std::move(status)); });
  });
}

void Daemon::on_change(const Scenario& scenario) {
  nlohmann::json json = to_json(scenario);
  recorder_->record(row_of(scenario));
  trail_->on_change(scenario);
  if (scenario.state == State::kActive || is_final(scenario.state)) {
    spdlog::info("scenario {} ({}) is {}{}", scenario.id, scenario.request.kind, to_string(scenario.state),
                 scenario.end_reason == EndReason::kNone ? "" : ": " + std::string(to_string(scenario.end_reason)));
  }
  if (events_) events_->publish("scenario", json);
  announcer_->on_change(scenario);
  own_metrics_.on_change(scenario);
  if (sampler_) sampler_->set_busy(scenarios_->running() > 0);
  if (targets_) targets_->on_change(scenario);
  set_status();
}

void Daemon::set_status() const {
  const char* latched = latch_->engaged() ? "LATCHED by emergency stop; " : "";
  const std::string waiting = scenarios_->waiting() > 0 ? fmt::format(", {} waiting", scenarios_->waiting()) : "";
  sd_notifyf(0, "STATUS=%s%s%s", latched, announcer_->status().c_str(), waiting.c_str());
}

}  // namespace chaos
