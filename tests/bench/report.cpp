#include "bench/report.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace chaos::bench {
namespace {

std::string cell_text(const nlohmann::json& cell, int decimals) {
  if (cell.is_null()) return "-";
  if (cell.is_string()) return cell.get<std::string>();
  if (cell.is_number()) return fmt::format("{:.{}f}", cell.get<double>(), decimals);
  return cell.dump();
}

std::string limits_text(const Target& target) {
  if (std::isinf(target.high)) return fmt::format(">= {:g} {}", target.low, target.unit);
  if (target.low <= 0) return fmt::format("<= {:g} {}", target.high, target.unit);
  return fmt::format("{:g} .. {:g} {}", target.low, target.high, target.unit);
}

}  // namespace

std::string Table::text() const {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns_) lines[0].push_back(column.heading);
  for (const auto& row : rows_) {
    auto& line = lines.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) line.push_back(cell_text(row[i], columns_[i].decimals));
  }
  std::string out = title_ + "\n";
  for (const auto& line : lines) {
    out += " ";
    for (std::size_t i = 0; i < line.size(); ++i) {
      std::size_t width = 0;
      for (const auto& other : lines) width = std::max(width, other[i].size());
      out += i == 0 ? fmt::format(" {:<{}}", line[i], width) : fmt::format("  {:>{}}", line[i], width);
    }
    out += "\n";
  }
  return out;
}

nlohmann::json Table::json() const {
  nlohmann::json rows = nlohmann::json::array();
  for (const auto& row : rows_) {
    nlohmann::json object;
    for (std::size_t i = 0; i < row.size(); ++i) object[columns_[i].key] = row[i];
    rows.push_back(std::move(object));
  }
  return rows;
}

bool Report::all_met() const { return std::ranges::all_of(targets, &Target::met); }

std::string Report::text() const {
  std::string out = title + "\n";
  for (const auto& [key, value] : setup.items()) {
    out += fmt::format("  {}: {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  for (const Table& table : tables) out += "\n" + table.text();
  if (!targets.empty()) {
    Table table("targets", "Targets",
                {{"what", "", 0}, {"measured", "measured", 2}, {"limit", "limit", 0}, {"met", "met", 0}});
    for (const Target& target : targets) {
      table.add({target.what, target.measured, limits_text(target), target.met() ? "yes" : "NO"});
    }
    out += "\n" + table.text();
  }
  if (!notes.empty()) out += "\n";
  for (const std::string& note : notes) out += "  " + note + "\n";
  return out;
}

nlohmann::json Report::json() const {
  nlohmann::json document{{"title", title}, {"setup", setup}, {"notes", notes}};
  for (const Table& table : tables) document["tables"][table.key()] = table.json();
  document["targets"] = nlohmann::json::array();
  for (const Target& target : targets) {
    nlohmann::json entry{
        {"what", target.what}, {"measured", target.measured}, {"unit", target.unit}, {"met", target.met()}};
    if (target.low > 0) entry["low"] = target.low;
    if (!std::isinf(target.high)) entry["high"] = target.high;
    document["targets"].push_back(std::move(entry));
  }
  return document;
}

nlohmann::json host_facts() {
  utsname names{};
  uname(&names);
  double load = 0;
  getloadavg(&load, 1);
  return {{"kernel", names.release}, {"cpus", sysconf(_SC_NPROCESSORS_ONLN)}, {"load", std::round(load * 10) / 10}};
}

}  // namespace chaos::bench
