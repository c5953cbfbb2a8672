#include "safety/kernel_value.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace chaos {
namespace {

constexpr std::string_view kFreezing = "FREEZING";
constexpr std::string_view kFrozen = "FROZEN";
constexpr std::string_view kFreezerState = "freezer.state";  // cgroup-v1/freezer-subsystem.rst

/// Device and name of a key; the name is empty in v1.
struct Key {
  std::string_view device;
  std::string_view name;
};

Key parts_of(std::string_view key) {
  const std::size_t blank = std::min(key.find(' '), key.size());
  return {key.substr(0, blank), key.substr(std::min(blank + 1, key.size()))};
}

/// What follows `label` in a list of words; empty if no word begins with it.
std::string_view behind(std::string_view words, std::string_view label) {
  while (!words.empty()) {
    const std::size_t blank = std::min(words.find(' '), words.size());
    const std::string_view word = words.substr(0, blank);
    if (word.starts_with(label)) return word.substr(label.size());
    words.remove_prefix(std::min(blank + 1, words.size()));
  }
  return {};
}

std::string_view line_of(std::string_view text, std::string_view device) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.size() > device.size() && line.starts_with(device) && line[device.size()] == ' ') {
      return line.substr(device.size() + 1);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

std::unexpected<Error> failure(const std::string& what, const ValuePlace& place) {
  if (errno == ENOENT || errno == ENODEV) return fail(Errc::kNotFound, describe(place) + " is gone");
  return fail_errno(what + " " + describe(place));
}

}  // namespace

std::string describe(const ValuePlace& place) {
  return place.key.empty() ? place.path : fmt::format("{}, {}", place.path, place.key);
}

std::string value_in(std::string_view text, const ValuePlace& place) {
  if (place.key.empty()) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    if (place.path.ends_with(kFreezerState) && text == kFreezing) text = kFrozen;
    return std::string(text);
  }
  const Key key = parts_of(place.key);
  const std::string_view line = line_of(text, key.device);
  if (key.name.empty()) return std::string(line.empty() ? "0" : line);
  const std::string_view value = behind(line, fmt::format("{}=", key.name));
  return std::string(value.empty() ? "max" : value);
}

std::string text_for(std::string_view value, const ValuePlace& place) {
  if (place.key.empty()) return std::string(value);
  return fmt::format("{}{}{}", place.key, parts_of(place.key).name.empty() ? ' ' : '=', value);
}

Result<std::string> read_value(int fd, const ValuePlace& place) {
  std::string text;
  std::array<char, 4096> part;
  for (;;) {
    const ssize_t got = ::pread(fd, part.data(), part.size(), static_cast<off_t>(text.size()));
    if (got < 0) return failure("read", place);
    text.append(part.data(), static_cast<std::size_t>(got));
    // A single value comes in one piece; lines may come in several.
    if (got == 0 || place.key.empty()) return value_in(text, place);
  }
}

Status write_value(int fd, std::string_view value, const ValuePlace& place) {
  const std::string text = text_for(value, place);
  if (::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())) return {};
  return failure(fmt::format("write '{}' to", text), place);
}

}  // namespace chaos
