#include "store/audit_writer.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace chaos {
namespace {

constexpr std::size_t kMostWaiting = 1000;

}  // namespace

AuditEntry own_entry(std::string action) {
  AuditEntry entry;
  entry.time = system_clock().wall();
  entry.uid = ::getuid();
  // No look-up of names: a directory service must not be able to block a daemon that breaks networks.
  entry.user = entry.uid == 0 ? "root" : std::to_string(entry.uid);
  entry.pid = ::getpid();
  entry.comm = "chaosd";
  entry.action = std::move(action);
  entry.status = 200;
  return entry;
}

AuditWriter::~AuditWriter() {
  if (const auto count = waiting_.size() + lost_; count > 0) spdlog::critical("audit: {} entries are lost", count);
}

Status AuditWriter::write(AuditEntry entry) {
  if (waiting_.size() < kMostWaiting) {
    waiting_.push_back(std::move(entry));
  } else {
    ++lost_;
  }
  return retry();
}

Status AuditWriter::retry() {
  while (!waiting_.empty()) {
    if (Status status = append(waiting_.front()); !status) return note(std::move(status));
    waiting_.pop_front();
  }
  if (lost_ > 0) {
    AuditEntry entry = own_entry("audit_lost");
    entry.detail = std::to_string(lost_) + " entries before this one could not be written";
    if (Status status = append(entry); !status) return note(std::move(status));
    lost_ = 0;
  }
  return note({});
}

Status AuditWriter::append(AuditEntry& entry) {
  auto seq = audit_.append(entry);
  if (!seq) return std::unexpected(std::move(seq.error()));
  entry.seq = *seq;
  entry.hash = audit_.last()->hash;
  if (observer_) observer_(entry);
  return {};
}

Status AuditWriter::note(Status status) {
  const bool was_broken = broken_.exchange(!status);
  if (!status && !was_broken)
    spdlog::critical("audit: {}; nothing starts until it can be written", status.error().message);
  if (status && was_broken) spdlog::warn("audit: it can be written again");
  return status;
}

}  // namespace chaos
