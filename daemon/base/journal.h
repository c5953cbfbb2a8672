// JournalSocket: structured entries for systemd-journald, by its native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL). In place of sd_journal_send(3), whose socket is a blocking one: a
// journald that hangs would hang the sender. Owns one unconnected datagram socket; any thread.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

struct JournalField {
  std::string_view name;  ///< capitals, digits and underscores, not starting with an underscore
  std::string value;      ///< any bytes
};

inline constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

class JournalSocket {
 public:
  static Result<JournalSocket> open(std::filesystem::path path = kJournalSocket);
  /// One entry, as one datagram. Never waits: errors tell that the entry is lost, EAGAIN that journald does not keep
  /// up, ENOENT or ECONNREFUSED that none runs, EMSGSIZE that the entry is too long (some 200 kB).
  [[nodiscard]] Status send(std::span<const JournalField> fields) const;

 private:
  JournalSocket(UniqueFd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}
  UniqueFd fd_;
  std::filesystem::path path_;
};

}  // namespace chaos
