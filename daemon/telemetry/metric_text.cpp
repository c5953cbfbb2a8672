#include "telemetry/metric_text.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "telemetry/sampled_file.h"

namespace chaos {
namespace {

constexpr std::size_t kShown = 40;

/// Behind the labels of a sample's line; empty if they do not end.
std::string_view behind_labels(std::string_view line) {
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == '}' && !quoted) {
      return line.substr(i + 1);
    }
  }
  return {};
}

}  // namespace

Result<double> number_in(std::string_view text) {
  Words words(text);
  std::string_view word = words.word();
  const std::string_view shown = word.substr(0, kShown);
  if (word.starts_with('+')) word.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || !std::isfinite(value) || !words.word().empty()) {
    return fail(Errc::kInvalid, "\"" + std::string(shown) + "\" is not a number");
  }
  return value;
}

Result<double> number_in_exposition(std::string_view text, std::string_view metric) {
  double sum = 0;
  bool found = false;
  Words lines(text);
  while (const auto line = lines.line()) {
    if (!line->starts_with(metric)) continue;
    std::string_view rest = line->substr(metric.size());
    if (rest.starts_with('{')) {
      rest = behind_labels(rest);
    } else if (!rest.starts_with(' ') && !rest.starts_with('\t')) {
      continue;  // another one, whose name is longer
    }
    Words words(rest);  // a time stamp or an exemplar may follow
    const auto value = number_in(words.word());
    if (!value) return std::unexpected(value.error());
    sum += *value;
    found = true;
  }
  if (!found) return fail(Errc::kNotFound, "there is no series " + std::string(metric));
  return sum;
}

Result<double> number_in_json(std::string_view text, const std::string& pointer) {
  using nlohmann::json;
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return fail(Errc::kInvalid, "the answer is not JSON");
  try {
    const json::json_pointer where(pointer);
    if (!document.contains(where)) return fail(Errc::kNotFound, "there is nothing at \"" + pointer + "\"");
    const json& value = document.at(where);
    if (value.is_number()) return value.get<double>();
    if (value.is_string()) return number_in(value.get<std::string>());
  } catch (const json::exception& error) {
    return fail(Errc::kInvalid, error.what());
  }
  return fail(Errc::kInvalid, "what is at \"" + pointer + "\" is not a number");
}

}  // namespace chaos
