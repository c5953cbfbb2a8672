// Findings: errors and warnings about one file, each with the place that it is about. Internal to config/.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace chaos::config_detail {

/// Of a character, counted from 1; 0: unknown.
struct Position {
  int line = 0;
  int column = 0;
};

class Findings {
 public:
  explicit Findings(std::string_view file_name) : file_name_(file_name) {}

  /// Remembers where `path` is written, for what is found about it later.
  void place(const std::string& path, Position position) { places_.emplace(path, position); }
  [[nodiscard]] bool has(const std::string& path) const { return places_.contains(path); }

  /// `error` holds what is wrong; place, path and field are put in.
  void add_error(Position position, const std::string& path, Error error);
  /// At the place of `path`, or of the nearest section above it that is in the file.
  void add_error(const std::string& path, Error error) { add_error(position_of(path), path, std::move(error)); }
  void add_warning(const std::string& path, std::string_view text);
  /// True if there is an error about `path` or a key below it.
  [[nodiscard]] bool has_error_under(std::string_view path) const;

  /// In the order of the lines.
  [[nodiscard]] std::vector<Error> take_errors();
  [[nodiscard]] std::vector<std::string> take_warnings() { return std::move(warnings_); }
  [[nodiscard]] bool any_errors() const { return !errors_.empty(); }

 private:
  [[nodiscard]] Position position_of(std::string path) const;
  [[nodiscard]] std::string prefix(Position position, const std::string& path) const;

  std::string file_name_;
  std::map<std::string, Position> places_;
  std::multimap<std::pair<int, int>, Error> errors_;  ///< by line and column
  std::vector<std::string> warnings_;
};

}  // namespace chaos::config_detail
