#include "safety/undo_log.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include <nlohmann/json.hpp>

namespace chaos {
namespace {

using nlohmann::json;

constexpr std::array<char, 4> kMagic{'C', 'H', 'U', '1'};
constexpr std::size_t kMaxPayload = std::size_t{1} << 20;

struct Header {
  std::array<char, 4> magic;
  std::uint32_t length;
  std::uint32_t crc;  ///< of the payload
  std::uint32_t header_crc;
};
static_assert(sizeof(Header) == 16);

constexpr std::array<const char*, 3> kMarks{"intended", "applied", "undone"};

std::uint32_t crc_of(const void* data, std::size_t size) {
  return static_cast<std::uint32_t>(::crc32(0, static_cast<const Bytef*>(data), static_cast<uInt>(size)));
}

std::uint32_t header_crc(const Header& header) { return crc_of(&header, offsetof(Header, header_crc)); }

/// The payload of the copy that begins here; empty if none does.
std::string_view payload_at(std::string_view bytes) {
  Header header{};
  if (bytes.size() < sizeof(header)) return {};
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic || header.header_crc != header_crc(header) || header.length > kMaxPayload ||
      bytes.size() - sizeof(header) < header.length) {
    return {};
  }
  const std::string_view payload = bytes.substr(sizeof(header), header.length);
  return crc_of(payload.data(), payload.size()) == header.crc ? payload : std::string_view();
}

Result<UndoEntry> entry_from(std::string_view payload) {
  const json document = json::parse(payload, nullptr, false);
  if (!document.is_object()) return fail(Errc::kInvalid, "undo record: not JSON");
  try {
    UndoEntry entry{document.at("number").get<std::uint64_t>(), document.at("id").get<std::uint64_t>(), {}, {}};
    const auto mark = std::ranges::find(kMarks, document.at("mark").get<std::string>());
    if (mark == kMarks.end()) return fail(Errc::kInvalid, "undo record: unknown mark");
    entry.mark = static_cast<UndoMark>(mark - kMarks.begin());
    if (entry.mark == UndoMark::kIntended) {
      auto action = undo_action_from(document.at("action"));
      if (!action) return std::unexpected(action.error());
      entry.action = std::move(*action);
    }
    return entry;
  } catch (const json::exception& error) {
    return fail(Errc::kInvalid, std::string("undo record: ") + error.what());
  }
}

}  // namespace

std::string encode(const UndoEntry& entry) {
  json document{{"number", entry.number}, {"id", entry.id}, {"mark", kMarks[static_cast<std::size_t>(entry.mark)]}};
  if (entry.mark == UndoMark::kIntended) document["action"] = to_json(entry.action);
  const std::string payload = document.dump(-1, ' ', false, json::error_handler_t::replace);
  Header header{kMagic, static_cast<std::uint32_t>(payload.size()), crc_of(payload.data(), payload.size()), 0};
  header.header_crc = header_crc(header);
  std::string copy(reinterpret_cast<const char*>(&header), sizeof(header));
  copy += payload;
  return copy + copy;
}

UndoLog decode(std::string_view bytes) {
  std::map<std::uint64_t, UndoEntry> entries;
  std::map<std::uint64_t, int> copies;
  UndoLog log;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::string_view payload = payload_at(bytes.substr(at));
    if (payload.empty()) {
      // Whatever this was: go on at the next place that could begin a copy.
      at = std::min(bytes.find(std::string_view(kMagic.data(), kMagic.size()), at + 1), bytes.size());
      continue;
    }
    at += sizeof(Header) + payload.size();
    auto entry = entry_from(payload);
    // Whole, and yet not understood: of a later version. Its number is missed below.
    if (!entry) continue;
    ++copies[entry->number];
    log.last_number = std::max(log.last_number, entry->number);
    entries.emplace(entry->number, std::move(*entry));
  }
  for (const auto& [number, count] : copies) log.damaged += count < 2 ? 1 : 0;
  log.lost = log.last_number - entries.size();
  for (auto& [number, entry] : entries) {
    const auto open = std::ranges::find(log.open, entry.id, &UndoLog::Open::id);
    if (entry.mark == UndoMark::kIntended) {
      if (open == log.open.end()) log.open.push_back({entry.id, std::move(entry.action), false});
    } else if (open != log.open.end()) {
      if (entry.mark == UndoMark::kApplied) {
        open->applied = true;
      } else {
        log.open.erase(open);
      }
    }
  }
  return log;
}

}  // namespace chaos
