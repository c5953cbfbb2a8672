#include "fault/cgroup_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernel/proc_tree.h"

namespace chaos {

Result<std::string> text_in(const std::filesystem::path& file) {
  auto text = proc::read_record(file);
  while (text && (text->ends_with('\n') || text->ends_with(' '))) text->pop_back();
  return text;
}

std::uint64_t count_in(const std::filesystem::path& file, std::string_view name) {
  const std::string text = "\n" + proc::read_record(file).value_or("");
  const std::string label = fmt::format("\n{} ", name);
  const std::size_t at = text.find(label);
  if (at == std::string::npos) return 0;
  const std::size_t begin = at + label.size();
  return parse_unsigned(std::string_view(text).substr(begin, text.find('\n', begin) - begin)).value_or(0);
}

std::uint64_t share_left(std::uint64_t amount, Probability level) {
  // A double may be short of the whole number by a hair.
  constexpr double kHair = 1e-6;
  return static_cast<std::uint64_t>(static_cast<double>(amount) * (1 - level.fraction()) + kHair);
}

std::uint64_t CountsSince::operator()(const std::filesystem::path& file, std::string_view name) {
  return (*this)(file.string() + " " + std::string(name), count_in(file, name));
}

std::uint64_t CountsSince::operator()(const std::string& key, std::uint64_t now) {
  Count& count = counts_.try_emplace(key, Count{.last = now, .all = 0}).first->second;
  count.all += now >= count.last ? now - count.last : now;
  count.last = now;
  return count.all;
}

std::uint64_t MostSeen::operator()(const std::filesystem::path& place, std::uint64_t now) {
  std::uint64_t& most = most_.try_emplace(place.string(), now).first->second;
  most = std::max(most, now);
  return most;
}

}  // namespace chaos
