// The hash chain over the audit log: every row carries SHA-256(prev_hash || row), where prev_hash is the hash of the
// row before it and `row` all its fields, seq included. Who changes, removes, inserts or moves a row breaks the chain
// from there on. It is not keyed: who can write the file can write a whole new chain, which only a copy of a hash that
// was kept elsewhere (the journal) gives away. Pure functions; any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "store/audit_entry.h"

namespace chaos {

/// Where the log ends: the seq and hash of its last row.
struct AuditHead {
  std::int64_t seq = 0;
  AuditHash hash{};
};

/// The prev_hash of the first row: 32 zero bytes.
inline constexpr AuditHash kAuditGenesis{};

/// What is hashed of a row, in the order of the columns: integers as 8 bytes, big-endian, two's complement; an optional
/// integer as one byte 0 or 1 and, if 1, the integer; texts as their length in 8 bytes and their bytes. The time is in
/// Unix milliseconds. No two different rows give the same bytes.
[[nodiscard]] std::string audit_bytes(const AuditEntry& entry);

/// The hash that `entry` must have behind a row with `previous`; entry.hash is not looked at.
[[nodiscard]] AuditHash audit_hash(const AuditHash& previous, const AuditEntry& entry);

/// 64 lower-case digits.
[[nodiscard]] std::string to_hex(const AuditHash& hash);

}  // namespace chaos
