// Allowed hours against known instants, with both changes of the clocks.
#include "safety/allowed_hours.h"

#include <date/date.h>
#include <gtest/gtest.h>

#include <sstream>

namespace chaos::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint8_t kWeek = 0b1111111;
constexpr std::uint8_t kSunday = 0b1000000;
constexpr std::uint8_t kSaturday = 0b0100000;

WallTime utc(const std::string& text) {
  std::istringstream in(text);
  WallTime time;
  in >> date::parse("%FT%TZ", time);
  EXPECT_FALSE(in.fail()) << text;
  return time;
}

AllowedHours in_zone(const std::string& zone, std::uint8_t days, std::chrono::minutes from, std::chrono::minutes to) {
  return {.time_zone = zone, .windows = {{.days = days, .from = from, .to = to}}};
}

TEST(AllowedHours, NoneMeansAlways) { EXPECT_TRUE(within_hours({}, utc("2026-01-01T03:00:00Z"))); }

TEST(AllowedHours, FromIsInsideAndToIsNot) {
  const AllowedHours hours = in_zone("UTC", kWeek, 9h, 17h);
  EXPECT_FALSE(within_hours(hours, utc("2026-06-10T08:59:59Z")));
  EXPECT_TRUE(within_hours(hours, utc("2026-06-10T09:00:00Z")));
  EXPECT_TRUE(within_hours(hours, utc("2026-06-10T16:59:59Z")));
  EXPECT_FALSE(within_hours(hours, utc("2026-06-10T17:00:00Z")));
}

TEST(AllowedHours, DaysAreThoseOfTheZone) {
  // Sunday 23:30 UTC is Monday in Tokyo.
  const AllowedHours sunday = in_zone("Asia/Tokyo", kSunday, 0h, 24h);
  EXPECT_FALSE(within_hours(sunday, utc("2026-06-14T23:30:00Z")));
  EXPECT_TRUE(within_hours(sunday, utc("2026-06-13T15:00:00Z")));
  EXPECT_FALSE(within_hours(sunday, utc("2026-06-13T14:59:59Z")));
}

TEST(AllowedHours, OverMidnightBelongsToTheDayItOpens) {
  const AllowedHours hours = in_zone("UTC", kSaturday, 22h, 6h);
  EXPECT_TRUE(within_hours(hours, utc("2026-06-13T22:00:00Z")));
  EXPECT_TRUE(within_hours(hours, utc("2026-06-14T05:59:59Z")));
  EXPECT_FALSE(within_hours(hours, utc("2026-06-14T06:00:00Z")));
  EXPECT_FALSE(within_hours(hours, utc("2026-06-13T05:00:00Z"))) << "Friday's window, which there is not";
  EXPECT_FALSE(within_hours(hours, utc("2026-06-14T22:00:00Z")));
}

TEST(AllowedHours, FollowsTheClocksOverSummerAndWinter) {
  const AllowedHours hours = in_zone("Europe/Berlin", kWeek, 9h, 10h);
  EXPECT_TRUE(within_hours(hours, utc("2026-01-15T08:30:00Z"))) << "winter: UTC+1";
  EXPECT_FALSE(within_hours(hours, utc("2026-01-15T07:30:00Z")));
  EXPECT_TRUE(within_hours(hours, utc("2026-07-15T07:30:00Z"))) << "summer: UTC+2";
  EXPECT_FALSE(within_hours(hours, utc("2026-07-15T08:30:00Z")));
}

TEST(AllowedHours, RepeatedHourCountsTwice) {
  // Berlin, 2026-10-25: 03:00 summer time (01:00 UTC) becomes 02:00.
  const AllowedHours hours = in_zone("Europe/Berlin", kSunday, 2h, 3h);
  EXPECT_FALSE(within_hours(hours, utc("2026-10-24T23:59:59Z")));
  EXPECT_TRUE(within_hours(hours, utc("2026-10-25T00:00:00Z"))) << "02:00 summer time";
  EXPECT_TRUE(within_hours(hours, utc("2026-10-25T01:30:00Z"))) << "02:30 again";
  EXPECT_FALSE(within_hours(hours, utc("2026-10-25T02:00:00Z"))) << "03:00 winter time";
}

TEST(AllowedHours, SkippedHourIsInNoWindow) {
  // Berlin, 2026-03-29: 02:00 (01:00 UTC) becomes 03:00.
  const AllowedHours hours = in_zone("Europe/Berlin", kSunday, 2h, 3h);
  EXPECT_FALSE(within_hours(hours, utc("2026-03-29T00:59:59Z")));
  EXPECT_FALSE(within_hours(hours, utc("2026-03-29T01:00:00Z")));
}

TEST(AllowedHours, UnknownZoneMeansNever) {
  EXPECT_FALSE(within_hours(in_zone("Mars/Olympus", kWeek, 0h, 24h), utc("2026-06-10T12:00:00Z")));
  EXPECT_EQ(next_opening(in_zone("Mars/Olympus", kWeek, 0h, 24h), utc("2026-06-10T12:00:00Z")), std::nullopt);
}

TEST(AllowedHours, NextOpening) {
  EXPECT_EQ(next_opening(in_zone("UTC", kWeek, 9h, 17h), utc("2026-06-10T17:00:00Z")), utc("2026-06-11T09:00:00Z"));
  EXPECT_EQ(next_opening(in_zone("UTC", kWeek, 9h, 17h), utc("2026-06-10T08:00:00Z")), utc("2026-06-10T09:00:00Z"));
  EXPECT_EQ(next_opening(in_zone("Europe/Berlin", kSunday, 9h, 17h), utc("2026-10-24T12:00:00Z")),
            utc("2026-10-25T08:00:00Z"));
  // What the clocks skip opens when they skip it.
  EXPECT_EQ(next_opening(in_zone("Europe/Berlin", kSunday, 2h + 30min, 4h), utc("2026-03-28T12:00:00Z")),
            utc("2026-03-29T01:00:00Z"));
}

TEST(AllowedHours, WindowsPrintAsTheyAreWritten) {
  EXPECT_EQ(format_window({.days = 0b0011111, .from = 9h, .to = 17h}), "mon-fri 09:00-17:00");
  EXPECT_EQ(format_window({.days = 0b1000101, .from = 22h, .to = 24h}), "mon,wed,sun 22:00-24:00");
}

}  // namespace
}  // namespace chaos::test
