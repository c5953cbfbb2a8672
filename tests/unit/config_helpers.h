// Helpers of the configuration tests: documents made from the schema, look-ups in reports.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.h"
#include "config/schema.h"

namespace chaos::test {

inline constexpr std::string_view kFile = "chaosd.yaml";

/// What the wildcards of the schema are taken to be.
inline std::string sample_name(std::string_view segment) {
  if (segment == "KIND") return "packet_loss";
  if (segment == "PARAMETER") return "probability";
  if (segment == "SERVICE") return "redis";
  if (segment == "METRIC") return "queue_depth";
  return std::string(segment);
}

/// The path of `key` as reports print it: "webhooks[0].url".
inline std::string sample_path(const KeySpec& key) {
  std::string path;
  for (const std::string_view segment : path_segments(key.path)) {
    if (segment == "[]") {
      path += "[0]";
      continue;
    }
    if (!path.empty()) path += '.';
    path += sample_name(segment);
  }
  return path;
}

/// A document with `segments` down to `value`, in YAML's flow style.
inline std::string nested(const std::vector<std::string_view>& segments, std::string_view value) {
  std::string open;
  std::string close;
  for (const std::string_view segment : segments) {
    if (segment == "[]") {
      open += '[';
      close.insert(0, "]");
    } else {
      open += "{" + sample_name(segment) + ": ";
      close.insert(0, "}");
    }
  }
  return open + std::string(value) + close;
}

inline std::string document_with(const KeySpec& key, std::string_view value) {
  return nested(path_segments(key.path), value);
}

/// The errors about `yaml`, none if it loads.
inline ConfigErrors errors_of(std::string_view yaml) {
  auto report = check_config(yaml, kFile);
  return report ? ConfigErrors{} : report.error();
}

/// The first error about `field`, an element of it or something below it.
inline const Error* find_error(const ConfigErrors& errors, std::string_view field) {
  const auto about = [field](const Error& error) { return error.field.starts_with(field); };
  const auto found = std::ranges::find_if(errors, about);
  return found == errors.end() ? nullptr : &*found;
}

inline std::string messages(const ConfigErrors& errors) {
  std::string text;
  for (const Error& error : errors) text += error.message + " [" + error.rule + "] (" + error.hint + ")\n";
  return text;
}

}  // namespace chaos::test
