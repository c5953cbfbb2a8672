// Forms of values, names and suggestions.
#include <gtest/gtest.h>

#include <array>

#include "config/suggest.h"
#include "config/value.h"
#include "config/value_forms.h"

namespace chaos::test {
namespace {

using namespace std::chrono_literals;

TEST(ConfigValue, Paths) {
  for (const auto* good : {"/", "/a", "/var/lib/chaosd/a..b"}) EXPECT_TRUE(is_absolute_path(good)) << good;
  for (const auto* bad : {"", "a", "/a/", "/..", "/a/../b", "/a\nb"}) EXPECT_FALSE(is_absolute_path(bad)) << bad;
}

TEST(ConfigValue, Cidrs) {
  for (const auto* good : {"0.0.0.0/0", "10.0.0.0/8", "10.128.0.0/9", "192.0.2.1", "192.0.2.1/32", "::/0", "fd00::/8",
                           "2001:db8::1", "2001:db8::1/128", "fe80::/10"}) {
    EXPECT_TRUE(is_cidr(good)) << good;
  }
  for (const auto* bad : {"", "10.0.0.0/", "10.128.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "fe80::/8", "host",
                          "10.0.0.0/8/8", "10.0.0.0 /8"}) {
    EXPECT_FALSE(is_cidr(bad)) << bad;
  }
}

TEST(ConfigValue, PortRanges) {
  EXPECT_EQ(parse_port_range("1"), (PortRange{1, 1}));
  EXPECT_EQ(parse_port_range("1-65535"), (PortRange{1, 65535}));
  EXPECT_EQ(parse_port_range("7-7"), (PortRange{7, 7}));
  for (const auto* bad : {"", "0", "65536", "2-1", "-1", "1-", "1-2-3", " 1", "1 ", "+1", "4294967297"}) {
    EXPECT_FALSE(parse_port_range(bad)) << bad;
  }
}

TEST(ConfigValue, TimeWindows) {
  EXPECT_EQ(parse_time_window("mon-fri 09:00-17:30"), (TimeWindow{0b0011111, 9h, 17h + 30min}));
  EXPECT_EQ(parse_time_window("Sat,sun 00:00-24:00"), (TimeWindow{0b1100000, 0h, 24h}));
  EXPECT_EQ(parse_time_window("sat-mon 22:00-06:00"), (TimeWindow{0b1100001, 22h, 6h}));
  EXPECT_EQ(parse_time_window("wed 12:00-12:00"), (TimeWindow{0b0000100, 12h, 12h}));
  EXPECT_EQ(parse_time_window("00:00-24:00"), (TimeWindow{0b1111111, 0h, 24h}));
  for (const auto* bad : {"", "mon", "mon 9:00-17:00", "24:00-01:00", "mon-tue-wed 09:00-10:00", "mon, 09:00-10:00",
                          "09:00-17:00 mon", "mon  09:00-10:00", "09:00-24:01", "09:60-10:00"}) {
    EXPECT_FALSE(parse_time_window(bad)) << bad;
  }
}

TEST(ConfigValue, HostsAndUrls) {
  for (const auto* good : {"localhost:80", "10.0.0.1:65535", "[::1]:80", "a_b.example.com:1"}) {
    EXPECT_TRUE(is_host_port(good)) << good;
  }
  for (const auto* bad : {"::1:80", "[::1]", "[::1/64]:80", "host:", "host:0", ":1", "a b:1"}) {
    EXPECT_FALSE(is_host_port(bad)) << bad;
  }
  EXPECT_TRUE(is_http_url("https://example.com/x?y=1"));
  EXPECT_FALSE(is_http_url("file:///etc/passwd"));
}

TEST(ConfigValue, NamesOfUnitsAndGroups) {
  EXPECT_TRUE(is_unit_name("user@1000.service"));
  EXPECT_TRUE(is_unit_name("system-getty.slice"));
  EXPECT_FALSE(is_unit_name("nginx"));
  EXPECT_FALSE(is_unit_name("a/b.service"));
  EXPECT_TRUE(is_group_name("chaos-view"));
  EXPECT_FALSE(is_group_name("1000"));
  EXPECT_TRUE(is_json_pointer(""));
  EXPECT_TRUE(is_json_pointer("/a~0/b~1"));
  EXPECT_FALSE(is_json_pointer("a"));
}

TEST(ConfigValue, TimeZones) {
  EXPECT_TRUE(is_time_zone("UTC"));
  EXPECT_TRUE(is_time_zone("local"));
  EXPECT_FALSE(is_time_zone(""));
  EXPECT_FALSE(is_time_zone("../localtime"));
  EXPECT_FALSE(is_time_zone("Europe"));
}

TEST(ConfigValue, LongTextIsCutInMessages) {
  const auto value = parse_value(ValueType::kDuration, {}, {std::string(500, 'x')});
  ASSERT_FALSE(value);
  EXPECT_LT(value.error().message.size(), 200U);
  EXPECT_TRUE(value.error().message.ends_with("...\""));
}

TEST(ConfigValue, SizesOfOneRange) {
  EXPECT_EQ(parse_value(ValueType::kBytes, {}, {"64KiB"})->integer, 65536);
  EXPECT_FALSE(parse_value(ValueType::kBytes, {}, {"10000000TiB"}));
  EXPECT_EQ(parse_value(ValueType::kInteger, {}, {"-3"})->integer, -3);
}

TEST(ConfigSuggest, FindsTheNearestName) {
  constexpr std::array<std::string_view, 3> kNames{"default_duration", "safety_timeout", "queue_limit"};
  EXPECT_EQ(nearest_name("defualt_duration", kNames), "default_duration");
  EXPECT_EQ(nearest_name("Default-Duration", kNames), "default_duration");
  EXPECT_EQ(nearest_name("safetytimeout", kNames), "safety_timeout");
  EXPECT_EQ(nearest_name("queue", kNames), "");
  EXPECT_EQ(nearest_name("", kNames), "");
  EXPECT_EQ(nearest_name(std::string(1000, 'a'), kNames), "");
}

}  // namespace
}  // namespace chaos::test
