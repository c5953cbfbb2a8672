// Report: what a benchmark found, as tables for people or one JSON document. Values only.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace chaos::bench {

struct Column {
  std::string key;      ///< in JSON
  std::string heading;  ///< in the table
  int decimals = 0;     ///< of numbers in the table
};

class Table {
 public:
  Table(std::string key, std::string title, std::vector<Column> columns)
      : key_(std::move(key)), title_(std::move(title)), columns_(std::move(columns)) {}
  /// One cell for each column: text, number, or null for "does not apply".
  void add(std::vector<nlohmann::json> cells) { rows_.push_back(std::move(cells)); }

  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] std::string text() const;
  [[nodiscard]] nlohmann::json json() const;

 private:
  std::string key_;
  std::string title_;
  std::vector<Column> columns_;
  std::vector<std::vector<nlohmann::json>> rows_;
};

/// A requirement, and whether this run met it: low ≤ measured ≤ high.
struct Target {
  std::string what;
  double measured = 0;
  double low = 0;
  double high = 0;
  std::string unit;
  [[nodiscard]] bool met() const { return measured >= low && measured <= high; }
};

struct Report {
  std::string title;
  nlohmann::json setup;  ///< object: kernel, rounds, ...
  std::vector<Table> tables;
  std::vector<Target> targets;
  std::vector<std::string> notes;

  [[nodiscard]] bool all_met() const;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] nlohmann::json json() const;
};

/// Kernel release, CPUs and load average: what a figure depends on.
[[nodiscard]] nlohmann::json host_facts();

}  // namespace chaos::bench
