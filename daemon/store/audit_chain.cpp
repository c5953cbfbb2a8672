#include "store/audit_chain.h"

#include <nettle/sha2.h>

#include <string_view>

namespace chaos {
namespace {

void put_integer(std::string& bytes, std::int64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xff));
  }
}

void put_text(std::string& bytes, std::string_view text) {
  put_integer(bytes, static_cast<std::int64_t>(text.size()));
  bytes.append(text);
}

}  // namespace

std::string audit_bytes(const AuditEntry& entry) {
  std::string bytes;
  put_integer(bytes, entry.seq);
  put_integer(bytes, std::int64_t{entry.time.time_since_epoch().count()});
  put_text(bytes, entry.request_id);
  put_integer(bytes, std::int64_t{entry.uid});
  put_text(bytes, entry.user);
  bytes.push_back(entry.login_uid ? '\1' : '\0');
  if (entry.login_uid) put_integer(bytes, std::int64_t{*entry.login_uid});
  put_integer(bytes, std::int64_t{entry.pid});
  put_text(bytes, entry.comm);
  put_text(bytes, entry.socket);
  put_text(bytes, entry.action);
  put_text(bytes, entry.scenario_id);
  put_integer(bytes, std::int64_t{entry.status});
  put_text(bytes, entry.detail);
  return bytes;
}

AuditHash audit_hash(const AuditHash& previous, const AuditEntry& entry) {
  static_assert(sizeof(AuditHash) == SHA256_DIGEST_SIZE);
  const std::string bytes = audit_bytes(entry);
  sha256_ctx context;
  sha256_init(&context);
  sha256_update(&context, previous.size(), reinterpret_cast<const std::uint8_t*>(previous.data()));
  sha256_update(&context, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
  AuditHash hash{};
  sha256_digest(&context, hash.size(), reinterpret_cast<std::uint8_t*>(hash.data()));
  return hash;
}

std::string to_hex(const AuditHash& hash) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : hash) {
    text += kDigits[std::to_integer<std::size_t>(byte >> 4)];
    text += kDigits[std::to_integer<std::size_t>(byte & std::byte{0xf})];
  }
  return text;
}

}  // namespace chaos
