// The manual page and the shipped file say what the schema says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config_helpers.h"

namespace chaos::test {
namespace {

using testing::HasSubstr;

std::string read(const std::string& path) {
  const std::ifstream file(std::string(CHAOS_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// Lines of an entry as one.
std::string unwrapped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\n') {
      result += ' ';
    } else if (c != '\t') {
      result += c;
    }
  }
  return result;
}

/// scdoc's escapes, for text outside of *bold*.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '_' || c == '*' || c == '[' || c == '|') result += '\\';
    result += c;
  }
  return result;
}

TEST(ConfigDocs, ManualHasEveryKeyWithTypeRangeAndDefault) {
  const std::string manual = read("config/chaosd.yaml.5.scd");
  for (const KeySpec& key : config_schema()) {
    const std::string head = "\n*" + std::string(key.path) + "*\n";
    EXPECT_THAT(manual, HasSubstr(head)) << key.path;
    if (key.type == ValueType::kSection) continue;
    const std::size_t at = manual.find(head);
    const std::size_t end = manual.find("\n\n", at + 1);
    const std::string entry = unwrapped(manual.substr(at + head.size(), end - at - head.size()));
    EXPECT_THAT(entry, HasSubstr(escaped(summary(key)))) << key.path;
    EXPECT_EQ(entry.find("Not in effect yet") != std::string::npos, key.effect == Effect::kLater) << key.path;
  }
}

TEST(ConfigDocs, ShippedFileNamesEveryKey) {
  const std::string shipped = read("config/chaosd.yaml");
  for (const KeySpec& key : config_schema()) {
    const auto segments = path_segments(key.path);
    if (is_wildcard(segments.back())) continue;
    EXPECT_THAT(shipped, HasSubstr(std::string(segments.back()) + ":")) << key.path;
  }
}

}  // namespace
}  // namespace chaos::test
