// The example pipeline's accounting: every line is counted once, in the right phase.
#include "accounting.h"

#include <sstream>

#include <gtest/gtest.h>

namespace pipeline {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

Ledger ledger_of(const std::string& sent, const std::string& stored) {
  Ledger ledger;
  std::istringstream sent_stream(sent);
  std::istringstream stored_stream(stored);
  read_sent(sent_stream, ledger);
  read_stored(stored_stream, ledger);
  return ledger;
}

TEST(Accounting, CountsStoredMissingAndDuplicatedByTheTimeOfSending) {
  const Ledger ledger = ledger_of("0 1000000000\n1 1500000000\n2 1900000000\n3 2000000000\n",
                                  "1.000500 seq=0 sent=1000000000 ..\n2.500000 seq=1 ..\n2.500001 seq=1 ..\n"
                                  "2.100000 seq=3 ..\n");
  const PhaseReport first = report(ledger, {"first", kSecond, 2 * kSecond}, 100);
  EXPECT_EQ(first.sent, 3U);
  EXPECT_EQ(first.stored, 2U);
  EXPECT_EQ(first.missing, 1U);
  EXPECT_EQ(first.duplicated, 1U);
  EXPECT_DOUBLE_EQ(first.throughput_per_s, 1);  // only seq 0 arrived within the phase
  EXPECT_DOUBLE_EQ(first.latency_p50_ms, 0.5);
  EXPECT_DOUBLE_EQ(first.latency_max_ms, 1000);  // the first copy counts

  const PhaseReport second = report(ledger, {"second", 2 * kSecond, 4 * kSecond}, 100);
  EXPECT_EQ(second.sent, 1U);
  EXPECT_EQ(second.missing, 0U);
  EXPECT_DOUBLE_EQ(second.throughput_per_s, 1);  // two first copies in two seconds
}

TEST(Accounting, RecoveryIsTheFirstLaterLineOnTime) {
  // Sent after the end at 2 s: one that waited 1.5 s, then one that took 10 ms.
  const Ledger ledger = ledger_of("0 1000000000\n1 2100000000\n2 3700000000\n",
                                  "3.600000 seq=0 ..\n3.600000 seq=1 ..\n3.710000 seq=2 ..\n");
  const PhaseReport outage = report(ledger, {"outage", kSecond, 2 * kSecond}, 20);
  ASSERT_TRUE(outage.recovered_after_s.has_value());
  EXPECT_NEAR(*outage.recovered_after_s, 1.71, 1e-9);
}

TEST(Accounting, NoLineOnTimeAfterThePhaseIsNoRecovery) {
  const Ledger ledger = ledger_of("0 1000000000\n1 2100000000\n", "1.001000 seq=0 ..\n9.000000 seq=1 ..\n");
  EXPECT_FALSE(report(ledger, {"outage", kSecond, 2 * kSecond}, 20).recovered_after_s.has_value());
}

TEST(Accounting, TellsStrangersAndGarbageApart) {
  const Ledger ledger = ledger_of("0 1000000000\n", "1.000500 seq=7 ..\nlogs\n1.5 seq=0 ..\n1.000500 sequence\n");
  EXPECT_EQ(ledger.unexpected, 1U);
  EXPECT_EQ(ledger.garbled, 3U);  // also a time without six digits of fraction
  EXPECT_EQ(ledger.lines.at(0).copies, 0U);
}

TEST(Accounting, PercentileIsNearestRank) {
  EXPECT_DOUBLE_EQ(percentile({}, 0.5), 0);
  EXPECT_DOUBLE_EQ(percentile({7}, 0.99), 7);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4}, 0.5), 2);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4}, 0.51), 3);
  EXPECT_DOUBLE_EQ(percentile({1, 2, 3, 4}, 1.0), 4);
}

}  // namespace
}  // namespace pipeline
