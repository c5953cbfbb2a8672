#include "base/units.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace chaos {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();

template <class T>
std::string refusal(const Result<T>& result) {
  if (result) return "accepted";
  EXPECT_EQ(result.error().code, Errc::kInvalid);
  EXPECT_FALSE(result.error().hint.empty());
  return result.error().rule;
}

std::uint64_t ppb(std::string_view text) {
  const auto p = Probability::parse(text);
  EXPECT_TRUE(p) << text << ": " << p.error().message;
  return p.value_or(Probability::from_ppb(kMax64)).ppb();
}

TEST(Probability, ParsesPercentAndFraction) {
  EXPECT_EQ(ppb("10%"), 100'000'000U);
  EXPECT_EQ(ppb("0.1"), 100'000'000U);
  EXPECT_EQ(ppb("0.1%"), 1'000'000U);
  EXPECT_EQ(ppb(".5"), 500'000'000U);
  EXPECT_EQ(ppb("0"), 0U);
  EXPECT_EQ(ppb("1"), 1'000'000'000U);
  EXPECT_EQ(ppb("100%"), 1'000'000'000U);
  EXPECT_EQ(ppb("100.000%"), 1'000'000'000U);
  EXPECT_EQ(ppb("0.0000001%"), 1U);
  EXPECT_EQ(ppb("0.000000001"), 1U);
}

TEST(Probability, RefusesWhatIsNoProbability) {
  for (const char* text : {"", "%", "ten", "10 %", " 10%", "10%%", "+10%", "1e-3", "0x1", "1.", ".", "1.2.3", "10p"}) {
    EXPECT_EQ(refusal(Probability::parse(text)), "0% to 100%") << text;
  }
  EXPECT_EQ(refusal(Probability::parse("-1%")), "0% to 100%");
  EXPECT_EQ(refusal(Probability::parse("100.1%")), "max 100%");
  EXPECT_EQ(refusal(Probability::parse("10")), "max 100%");
  EXPECT_EQ(refusal(Probability::parse("999999999999999999")), "max 100%");
  EXPECT_NE(refusal(Probability::parse("9999999999999999999")), "accepted");
}

TEST(Probability, RefusesWhatItCannotHoldExactly) {
  EXPECT_EQ(refusal(Probability::parse("0.00000001%")), "steps of 0.0000001%");
  EXPECT_EQ(refusal(Probability::parse("0.0000000001")), "steps of 0.0000001%");
}

TEST(Probability, TellsHowToWritePercentWhenTheSignIsMissing) {
  EXPECT_NE(Probability::parse("10").error().hint.find("10%"), std::string::npos);
}

TEST(Probability, ThresholdIsExact) {
  EXPECT_EQ(Probability::from_ppb(0).threshold32(), 0U);
  // floor(2^32 / 1000): the rate in the kernel is within 2^-32 of what was asked for.
  EXPECT_EQ(Probability::parse("0.1%")->threshold32(), 4'294'967U);
  EXPECT_EQ(Probability::parse("50%")->threshold32(), 1ULL << 31);
  EXPECT_EQ(Probability::parse("25%")->threshold32(), 1ULL << 30);
  EXPECT_EQ(Probability::parse("100%")->threshold32(), 1ULL << 32);
  EXPECT_EQ(Probability::from_ppb(999'999'999).threshold32(), 4'294'967'291U);
  EXPECT_EQ(Probability::from_ppb(1).threshold32(), 4U);
}

TEST(Probability, ClampsComparesAndGivesItsFraction) {
  EXPECT_EQ(Probability::from_ppb(kMax64), Probability::from_ppb(1'000'000'000));
  EXPECT_LT(Probability::from_ppb(1), Probability::from_ppb(2));
  EXPECT_DOUBLE_EQ(Probability::from_ppb(250'000'000).fraction(), 0.25);
}

TEST(Probability, PrintsCanonically) {
  for (const char* text : {"0%", "0.1%", "10%", "12.5%", "99.9999999%", "0.0000001%", "100%"}) {
    EXPECT_EQ(Probability::parse(text)->str(), text);
  }
  EXPECT_EQ(Probability::parse("0.10")->str(), "10%");
  EXPECT_EQ(Probability::parse("5.500%")->str(), "5.5%");
}

TEST(Duration, ParsesEveryUnit) {
  EXPECT_EQ(parse_duration("10ns").value(), 10ns);
  EXPECT_EQ(parse_duration("250us").value(), 250us);
  EXPECT_EQ(parse_duration("250\u00b5s").value(), 250us);
  EXPECT_EQ(parse_duration("50ms").value(), 50ms);
  EXPECT_EQ(parse_duration("30s").value(), 30s);
  EXPECT_EQ(parse_duration("5m").value(), 5min);
  EXPECT_EQ(parse_duration("2h").value(), 2h);
  EXPECT_EQ(parse_duration("2d").value(), 48h);
  EXPECT_EQ(parse_duration("1d12h").value(), 36h);
  EXPECT_EQ(format_duration(parse_duration("2d").value()), "48h");
}

TEST(Duration, ParsesSumsFractionsAndPlainSeconds) {
  EXPECT_EQ(parse_duration("1h30m").value(), 90min);
  EXPECT_EQ(parse_duration("1m1s1ms1us1ns").value(), 61s + 1ms + 1us + 1ns);
  EXPECT_EQ(parse_duration("0.2ms").value(), 200us);
  EXPECT_EQ(parse_duration("1.5s").value(), 1500ms);
  EXPECT_EQ(parse_duration("300").value(), 300s);
  EXPECT_EQ(parse_duration("0.5").value(), 500ms);
  EXPECT_EQ(parse_duration("0").value(), 0s);
}

TEST(Duration, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "s", "5x", "5 s", "5s ", "1m1h", "1s1s", "1h30", "5S", "1e3s", "5.s", "1..5s", "+5s"}) {
    EXPECT_EQ(refusal(parse_duration(text)), "") << text;
  }
  EXPECT_EQ(refusal(parse_duration("-5s")), "min 0s");
}

TEST(Duration, RefusesWhatItCannotHoldExactly) {
  constexpr auto kRule = "whole nanoseconds, at most 292 years";
  EXPECT_EQ(refusal(parse_duration("0.5ns")), kRule);
  EXPECT_EQ(refusal(parse_duration("9223372036854775808ns")), kRule);
  EXPECT_EQ(refusal(parse_duration("3000000h")), kRule);
  EXPECT_EQ(refusal(parse_duration("2562047h2562047m2562047s")), kRule);
}

TEST(Duration, PrintsTheLargestUnitThatGivesAnInteger) {
  EXPECT_EQ(format_duration(300s), "5m");
  EXPECT_EQ(format_duration(1500ms), "1500ms");
  EXPECT_EQ(format_duration(90min), "90m");
  EXPECT_EQ(format_duration(24h), "24h");
  EXPECT_EQ(format_duration(200us), "200us");
  EXPECT_EQ(format_duration(1ns), "1ns");
  EXPECT_EQ(format_duration(0s), "0s");
  EXPECT_EQ(format_duration(-2s), "-2s");
  EXPECT_EQ(format_duration(std::chrono::nanoseconds::max()), "9223372036854775807ns");
}

TEST(Bytes, ParsesDecimalAndBinarySuffixes) {
  EXPECT_EQ(parse_bytes("512").value(), 512U);
  EXPECT_EQ(parse_bytes("512B").value(), 512U);
  EXPECT_EQ(parse_bytes("10k").value(), 10'000U);
  EXPECT_EQ(parse_bytes("10kB").value(), 10'000U);
  EXPECT_EQ(parse_bytes("2MB").value(), 2'000'000U);
  EXPECT_EQ(parse_bytes("1GB").value(), 1'000'000'000U);
  EXPECT_EQ(parse_bytes("1T").value(), 1'000'000'000'000U);
  EXPECT_EQ(parse_bytes("1Ki").value(), 1024U);
  EXPECT_EQ(parse_bytes("64MiB").value(), 64U << 20);
  EXPECT_EQ(parse_bytes("1.5KiB").value(), 1536U);
  EXPECT_EQ(parse_bytes("2gib").value(), 2ULL << 30);
  EXPECT_EQ(parse_bytes("3TiB").value(), 3ULL << 40);
  EXPECT_EQ(parse_bytes("0").value(), 0U);
}

TEST(Bytes, RefusesWhatIsNoSize) {
  for (const char* text : {"", "MiB", "10x", "10 MiB", "10MiBs", "1,5k", "10KBB"}) {
    EXPECT_EQ(refusal(parse_bytes(text)), "") << text;
  }
  EXPECT_EQ(refusal(parse_bytes("-1")), "min 0B");
  EXPECT_EQ(refusal(parse_bytes("0.1KiB")), "whole bytes, below 16 EiB");
  EXPECT_EQ(refusal(parse_bytes("0.5")), "whole bytes, below 16 EiB");
  EXPECT_EQ(refusal(parse_bytes("16777216TiB")), "whole bytes, below 16 EiB");
  EXPECT_EQ(parse_bytes("16777215TiB").value(), 16'777'215ULL << 40);
}

TEST(Bytes, PrintsTheLargestBinaryUnitThatGivesAnInteger) {
  EXPECT_EQ(format_bytes(0), "0B");
  EXPECT_EQ(format_bytes(512), "512B");
  EXPECT_EQ(format_bytes(1000), "1000B");
  EXPECT_EQ(format_bytes(1024), "1KiB");
  EXPECT_EQ(format_bytes(1536), "1536B");
  EXPECT_EQ(format_bytes(64U << 20), "64MiB");
  EXPECT_EQ(format_bytes(1ULL << 50), "1024TiB");
}

TEST(BitRate, ParsesBitsAndBytesPerSecond) {
  EXPECT_EQ(parse_bit_rate("5000bit").value(), 5'000U);
  EXPECT_EQ(parse_bit_rate("10kbit").value(), 10'000U);
  EXPECT_EQ(parse_bit_rate("100mbit").value(), 100'000'000U);
  EXPECT_EQ(parse_bit_rate("100Mbit").value(), 100'000'000U);
  EXPECT_EQ(parse_bit_rate("1.5gbit").value(), 1'500'000'000U);
  EXPECT_EQ(parse_bit_rate("1tbit").value(), 1'000'000'000'000U);
  EXPECT_EQ(parse_bit_rate("1Bps").value(), 8U);
  EXPECT_EQ(parse_bit_rate("10kBps").value(), 80'000U);
  EXPECT_EQ(parse_bit_rate("10MBps").value(), 80'000'000U);
  EXPECT_EQ(parse_bit_rate("0.5GBps").value(), 4'000'000'000U);
  EXPECT_EQ(parse_bit_rate("0bit").value(), 0U);
}

TEST(BitRate, RefusesWhatIsNoRate) {
  for (const char* text : {"", "bit", "100", "100m", "100 mbit", "100mbits", "100MiBps"}) {
    EXPECT_EQ(refusal(parse_bit_rate(text)), "") << text;
  }
  EXPECT_EQ(refusal(parse_bit_rate("-1bit")), "min 0bit");
  EXPECT_EQ(refusal(parse_bit_rate("0.5bit")), "whole bits per second, 64 bit");
  EXPECT_EQ(refusal(parse_bit_rate("99999999tbit")), "whole bits per second, 64 bit");
}

TEST(BitRate, RefusesLowerCaseBpsAsAmbiguous) {
  const auto rate = parse_bit_rate("10Mbps");
  ASSERT_FALSE(rate);
  EXPECT_EQ(rate.error().hint, "write mbit for bits or MBps for bytes per second");
}

TEST(BitRate, PrintsTheLargestUnitThatGivesAnInteger) {
  EXPECT_EQ(format_bit_rate(0), "0bit");
  EXPECT_EQ(format_bit_rate(999), "999bit");
  EXPECT_EQ(format_bit_rate(80'000), "80kbit");
  EXPECT_EQ(format_bit_rate(1'500'000'000), "1500mbit");
  EXPECT_EQ(format_bit_rate(2'000'000'000'000), "2tbit");
}

TEST(Unsigned, TakesTheWholeRangeAndNothingElse) {
  EXPECT_EQ(parse_unsigned("0").value(), 0U);
  EXPECT_EQ(parse_unsigned("18446744073709551615").value(), kMax64);
  EXPECT_EQ(refusal(parse_unsigned("18446744073709551616")), "max 2^64-1");
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "1.0", "0x10", "ten"}) {
    EXPECT_EQ(refusal(parse_unsigned(text)), "decimal digits only") << text;
  }
}

TEST(Units, CanonicalFormsParseBackToTheSameValue) {
  for (const std::uint64_t value : {0ULL, 1ULL, 999ULL, 1000ULL, 1024ULL, 86'400'000'000'000ULL, 123'456'789ULL}) {
    EXPECT_EQ(parse_bytes(format_bytes(value)).value(), value);
    EXPECT_EQ(parse_bit_rate(format_bit_rate(value)).value(), value);
    const std::chrono::nanoseconds duration(static_cast<std::int64_t>(value));
    EXPECT_EQ(parse_duration(format_duration(duration)).value(), duration);
    const auto p = Probability::from_ppb(value);
    EXPECT_EQ(Probability::parse(p.str()).value(), p);
  }
}

TEST(Units, TheLargestValuesPrintAsTheyAreRead) {
  for (const char* text : {"187474037374949551Bps", "18446744073709551615bit", "2305843009213693951Bps"}) {
    const auto rate = parse_bit_rate(text);
    ASSERT_TRUE(rate) << text;
    EXPECT_EQ(parse_bit_rate(format_bit_rate(*rate)), *rate) << text;
  }
  EXPECT_FALSE(parse_bit_rate("2305843009213693952Bps"));
  EXPECT_EQ(parse_bytes(format_bytes(~0ULL)), ~0ULL);
}

}  // namespace
}  // namespace chaos
