#include "telemetry/sampled_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>

namespace chaos {
namespace {

constexpr std::size_t kFirstSize = 4096;
constexpr std::size_t kMost = std::size_t{4} << 20;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

}  // namespace

Result<std::string_view> SampledFile::read(std::string& into) {
  if (!fd_.valid()) {
    // One that somebody configured may be a FIFO: opening that waits for a writer, reading it so fails.
    fd_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd_.valid() && errno == ENOENT) return fail(Errc::kNotFound, path_.string() + " does not exist");
    if (!fd_.valid()) return fail_errno("open " + path_.string());
  }
  if (into.size() < kFirstSize) into.resize(kFirstSize);
  std::size_t filled = 0;
  while (true) {
    if (filled == into.size()) {
      if (into.size() >= kMost) return fail(Errc::kInternal, path_.string() + " is longer than 4 MiB");
      into.resize(into.size() * 2);
    }
    const ssize_t got = ::pread(fd_.get(), into.data() + filled, into.size() - filled, static_cast<off_t>(filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int err = errno;
      fd_.reset();
      return fail_errno("read " + path_.string(), err);
    }
    if (got == 0) return std::string_view(into.data(), filled);
    filled += static_cast<std::size_t>(got);
  }
}

std::optional<std::string_view> Words::line() {
  if (rest_.empty()) return std::nullopt;
  const std::size_t end = std::min(rest_.find('\n'), rest_.size());
  const std::string_view line = rest_.substr(0, end);
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  return line;
}

std::string_view Words::word() {
  std::size_t begin = 0;
  while (begin < rest_.size() && is_blank(rest_[begin])) ++begin;
  std::size_t end = begin;
  while (end < rest_.size() && !is_blank(rest_[end])) ++end;
  const std::string_view word = rest_.substr(begin, end - begin);
  rest_.remove_prefix(end);
  return word;
}

std::optional<std::uint64_t> Words::number() { return whole_number(word()); }

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> keyed_number(std::string_view text, std::string_view name) {
  Words lines(text);
  while (const auto line = lines.line()) {
    if (!line->starts_with(name)) continue;
    Words words(*line);
    if (words.word() == name) return words.number();
  }
  return std::nullopt;
}

}  // namespace chaos
