// Numbers out of what others say.
#include "telemetry/metric_text.h"

#include <gtest/gtest.h>

namespace chaos::test {
namespace {

TEST(MetricText, ANumberAndNothingElse) {
  EXPECT_EQ(number_in(" 12.5\n"), 12.5);
  EXPECT_EQ(number_in("+3"), 3);
  EXPECT_EQ(number_in("-1e3"), -1000);
  for (const char* text : {"", "x", "1 2", "1x", "nan", "inf", "0x10", "++1"}) EXPECT_FALSE(number_in(text)) << text;
}

TEST(MetricText, ASeriesOfAnExposition) {
  constexpr std::string_view kText =
      "# HELP depth Depth of it.\n# TYPE depth gauge\n"
      "depth{queue=\"a\\\"}b\",x=\"}\"} 5 1700000000\n"
      "depth{queue=\"c\"} 7\n"
      "depth_total 100\n"
      "plain 3\n"
      "odd NaN\n";
  EXPECT_EQ(number_in_exposition(kText, "depth"), 12);
  EXPECT_EQ(number_in_exposition(kText, "plain"), 3);
  EXPECT_EQ(number_in_exposition(kText, "depth_total"), 100);
  EXPECT_EQ(number_in_exposition(kText, "dep").error().code, Errc::kNotFound);
  EXPECT_EQ(number_in_exposition(kText, "odd").error().code, Errc::kInvalid);
  EXPECT_FALSE(number_in_exposition("depth{queue=\"a", "depth"));
}

TEST(MetricText, ANumberInJson) {
  constexpr std::string_view kText = R"({"queue": {"depth": 4, "text": "2.5", "list": [1, 2]}})";
  EXPECT_EQ(number_in_json(kText, "/queue/depth"), 4);
  EXPECT_EQ(number_in_json(kText, "/queue/text"), 2.5);
  EXPECT_EQ(number_in_json(kText, "/queue/list/1"), 2);
  EXPECT_EQ(number_in_json("7", ""), 7);
  EXPECT_EQ(number_in_json(kText, "/queue/none").error().code, Errc::kNotFound);
  EXPECT_EQ(number_in_json(kText, "/queue").error().code, Errc::kInvalid);
  EXPECT_EQ(number_in_json("{", "").error().code, Errc::kInvalid);
}

}  // namespace
}  // namespace chaos::test
