#include "audit_trail.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "api/problem.h"
#include "base/log.h"
#include "store/audit_journal.h"

namespace chaos {
namespace {

constexpr int kServerError = 500;  // an HTTP status, as in the rows of clients
constexpr std::chrono::seconds kRetryPeriod{1};

AuditEntry ended(std::string id, std::string detail) {
  AuditEntry entry = own_entry("scenario_ended");
  entry.scenario_id = std::move(id);
  entry.detail = std::move(detail);
  return entry;
}

}  // namespace

Result<std::unique_ptr<AuditTrail>> AuditTrail::create(EventLoop& loop, Recorder& recorder, std::string identifier) {
  auto journal = AuditJournal::open(std::move(identifier));
  if (!journal) return std::unexpected(journal.error());
  // What the journal does not take is not said in the log: that may go the same way, and would wait there.
  recorder.on_audited([journal = std::make_shared<const AuditJournal>(std::move(*journal))](const AuditEntry& entry) {
    if (!logs_to_journal()) return;
    [[maybe_unused]] const Status status = journal->write(entry);
  });
  std::unique_ptr<AuditTrail> trail(new AuditTrail(loop, recorder));
  auto watch = loop.add_timer(kRetryPeriod, [self = trail.get()] { self->watch(); });
  if (!watch) return std::unexpected(watch.error());
  trail->watch_ = std::move(*watch);
  return trail;
}

void AuditTrail::watch() {
  if (recorder_.behind()) recorder_.retry();
  watch_->rearm(kRetryPeriod);
}

void AuditTrail::on_change(const Scenario& scenario) {
  if (!is_final(scenario.state)) return;
  const auto cause = causes_.extract(scenario.id);
  const bool asked = scenario.end_reason == EndReason::kStopped || scenario.end_reason == EndReason::kEmergencyStop;
  if (asked && cause.empty()) return;
  std::string detail(to_string(scenario.end_reason));
  if (!cause.empty()) detail += " by " + cause.mapped();
  if (!scenario.error.empty()) detail += ": " + scenario.error;
  recorder_.audit(ended(scenario.id, std::move(detail)));
}

void AuditTrail::caused(const std::vector<std::string>& ids, std::string_view why) {
  for (const std::string& id : ids) causes_.insert_or_assign(id, std::string(why));
}

void AuditTrail::adopted(const std::vector<std::string>& ids, std::string_view why) {
  for (const std::string& id : ids) recorder_.audit(ended(id, std::string(why)));
}

void AuditTrail::emergency_stop(const std::vector<std::string>& ids, std::string_view why) {
  caused(ids, why);
  AuditEntry entry = own_entry("emergency_stop");
  entry.detail = fmt::format("{}; ended {}", why, ids.size());
  recorder_.audit(std::move(entry));
}

void AuditTrail::undone(std::string_view what, bool failed) {
  AuditEntry entry = own_entry("undone");
  if (failed) entry.status = kServerError;
  entry.detail = what;
  recorder_.audit(std::move(entry));
}

void AuditTrail::reloaded(const Status& outcome, std::string_view why) {
  AuditEntry entry = own_entry("reload_config");
  entry.detail = why;
  if (!outcome) {
    entry.status = problem_of(outcome.error()).status;
    entry.detail += ": " + outcome.error().message;
  }
  recorder_.audit(std::move(entry));
}

}  // namespace chaos
