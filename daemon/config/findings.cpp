#include "config/findings.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "config/value.h"

namespace chaos::config_detail {

Position Findings::position_of(std::string path) const {
  while (true) {
    if (const auto found = places_.find(path); found != places_.end()) return found->second;
    const std::size_t dot = path.find_last_of(".[");
    if (dot == std::string::npos) return {};
    path.resize(dot);
  }
}

std::string Findings::prefix(Position position, const std::string& path) const {
  std::string text = file_name_;
  if (position.line > 0) text += fmt::format(":{}:{}", position.line, position.column);
  if (!path.empty()) text += ": " + path;
  return on_one_line(text + ": ");
}

void Findings::add_error(Position position, const std::string& path, Error error) {
  error.code = Errc::kInvalid;
  error.message = prefix(position, path) + on_one_line(std::move(error.message));
  error.field = path;
  errors_.emplace(std::pair(position.line, position.column), std::move(error));
}

void Findings::add_warning(const std::string& path, std::string_view text) {
  warnings_.push_back(prefix(position_of(path), path) + on_one_line(std::string(text)));
}

bool Findings::has_error_under(std::string_view path) const {
  return std::ranges::any_of(errors_, [path](const auto& located) {
    const std::string_view field = located.second.field;
    return field.starts_with(path) && (field.size() == path.size() || field[path.size()] == '.');
  });
}

std::vector<Error> Findings::take_errors() {
  std::vector<Error> errors;
  errors.reserve(errors_.size());
  for (auto& [position, error] : errors_) errors.push_back(std::move(error));
  errors_.clear();
  return errors;
}

}  // namespace chaos::config_detail
