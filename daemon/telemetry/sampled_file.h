// SampledFile: a file of the kernel's that is read again and again. Kept open, so that a reading costs one pread and no
// look-up (KERNEL: opening anew adds 5 to 13 µs). And Words, which takes such a text apart without copies. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

class SampledFile {
 public:
  explicit SampledFile(std::filesystem::path path) : path_(std::move(path)) {}

  /// What the file holds now, in `into`. Opened when it is not open; closed after an error, so that the next call tries
  /// again. At most 4 MiB. Errors: kNotFound, kInternal.
  Result<std::string_view> read(std::string& into);
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  UniqueFd fd_;
};

/// Takes lines and words off the front of a text.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}
  /// Without the line's end; empty at the end of the text.
  [[nodiscard]] std::optional<std::string_view> line();
  /// Up to the next blanks; empty at the end of the text.
  [[nodiscard]] std::string_view word();
  /// The next word as a decimal number; empty if it is none.
  [[nodiscard]] std::optional<std::uint64_t> number();
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// Decimal, the whole of `text`.
[[nodiscard]] std::optional<std::uint64_t> whole_number(std::string_view text);
/// The number behind "NAME " at the start of a line ("oom_kill 3"); empty if there is no such line.
[[nodiscard]] std::optional<std::uint64_t> keyed_number(std::string_view text, std::string_view name);

}  // namespace chaos
