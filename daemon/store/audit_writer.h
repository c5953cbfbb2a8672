// AuditWriter: the audit log as its writers see it: in order, and none lost because the disk is full for a while. What
// cannot be written waits in memory, with its own time, until it can. Disk thread only, except broken().
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>

#include "base/result.h"
#include "store/audit.h"
#include "store/audit_entry.h"

namespace chaos {

class AuditWriter {
 public:
  /// `audit` must outlive this.
  explicit AuditWriter(Audit& audit) : audit_(audit) {}
  ~AuditWriter();
  AuditWriter(const AuditWriter&) = delete;
  AuditWriter& operator=(const AuditWriter&) = delete;

  /// Gets every row once it is durable, with its seq and hash. Before the first write.
  void on_written(std::function<void(const AuditEntry&)> observer) { observer_ = std::move(observer); }
  /// Durable when it returns good, and so is everything before it. Otherwise it waits; beyond 1000 that wait it is only
  /// counted, and the count goes on record as `audit_lost`. Errors: as Audit::append; logged when they begin and end.
  Status write(AuditEntry entry);
  /// Tries again to write what waits.
  Status retry();
  /// True while something waits: the audit log cannot be written, nothing new may start. Any thread.
  [[nodiscard]] bool broken() const { return broken_.load(); }

 private:
  Status append(AuditEntry& entry);
  Status note(Status status);

  Audit& audit_;
  std::function<void(const AuditEntry&)> observer_;
  std::deque<AuditEntry> waiting_;
  std::uint64_t lost_ = 0;
  std::atomic<bool> broken_{false};
};

/// An entry for what chaosd does by itself: its own uid, user, pid and comm, status 200, the time now. Any thread.
[[nodiscard]] AuditEntry own_entry(std::string action);

}  // namespace chaos
