#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "ctl/json_text.h"
#include "ctl/problem.h"
#include "ctl/scenario_view.h"
#include "ctl/sse.h"
#include "ctl/text.h"

namespace chaos::ctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(CtlText, MakesControlCharactersVisible) {
  EXPECT_EQ(printable("plain"), "plain");
  EXPECT_EQ(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
  EXPECT_EQ(printable("\x1b[2J\x7f"), "\\x1b[2J\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"), "\\x9b");  // C1: CSI in one character
  EXPECT_EQ(printable("a\xE2\x80\xAE"
                      "b"),
            "a\\u202eb");  // right-to-left override
  EXPECT_EQ(printable_lines("a\nb\x1b"), "a\nb\\x1b");
}

TEST(CtlText, ReplacesInvalidUtf8) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(printable("ä€😀"), "ä€😀");
  EXPECT_EQ(printable("\xFF"), bad);
  EXPECT_EQ(printable("\xC3"), bad);                                // cut off
  EXPECT_EQ(printable("\xC0\x80"), bad + bad);                      // overlong NUL
  EXPECT_EQ(printable("\xE0\x80\x80"), bad + bad + bad);            // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), bad + bad + bad);            // surrogate
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), bad + bad + bad + bad);  // above U+10FFFF
}

TEST(CtlText, WidthIsInColumns) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("äö"), 2U);
  EXPECT_EQ(display_width("漢字"), 4U);
  EXPECT_EQ(display_width("e\xCC\x81"), 1U);  // combining acute
}

TEST(CtlText, ReadsTheDaemonsTimes) {
  const auto time = parse_rfc3339("2026-11-24T06:34:37.123Z");
  ASSERT_TRUE(time);
  EXPECT_EQ(format_rfc3339(*time), "2026-11-24T06:34:37.123Z");
  EXPECT_EQ(parse_rfc3339("2026-11-24T06:34:37+00:00"), *time - milliseconds(123));
  EXPECT_EQ(parse_rfc3339("2026-11-24T06:34:37.1239999Z"), time);
  for (const char* bad : {"", "x", "2026-02-30T00:00:00Z", "2026-11-24T06:34:37", "2026-11-24T06:34:37+02:00"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(CtlText, SpansShowTwoUnits) {
  EXPECT_EQ(span_text(milliseconds(850)), "850ms");
  EXPECT_EQ(span_text(seconds(59)), "59s");
  EXPECT_EQ(span_text(seconds(252)), "4m 12s");
  EXPECT_EQ(span_text(seconds(3600)), "1h");
  EXPECT_EQ(span_text(seconds(86'400 + 3 * 3600 + 59)), "1d 3h");
  const WallTime now{seconds(1000)};
  EXPECT_EQ(relative_time(now + seconds(90), now), "in 1m 30s");
  EXPECT_EQ(relative_time(now - seconds(3), now), "3s ago");
  EXPECT_EQ(relative_time(now + milliseconds(29'980), now), "in 30s");
  EXPECT_EQ(relative_time(now + milliseconds(980), now), "in 980ms");
  EXPECT_EQ(relative_time(now, now), "now");
}

TEST(CtlJson, IsTolerantOfWhatIsMissing) {
  const Json value = Json::parse(R"({"a":1,"b":[1,"x"],"c":{"k":"v","l":[true]},"d":null,"s":"ü","n":-3})");
  EXPECT_EQ(text_of(value, "a"), "1");
  EXPECT_EQ(text_of(value, "b"), "1, x");
  EXPECT_EQ(text_of(value, "c"), "k=v, l=true");
  EXPECT_EQ(text_of(value, "d"), "");
  EXPECT_EQ(text_of(value, "nothing"), "");
  EXPECT_EQ(text_of(Json("text"), "key"), "");
  EXPECT_EQ(number_at(value, "a"), 1U);
  EXPECT_EQ(number_at(value, "n"), 0U);
  EXPECT_EQ(number_at(value, "s"), 0U);
  EXPECT_TRUE(list_at(value, "a").empty());
  EXPECT_EQ(target_text(Json::parse(R"({"interface":"eth0","port":["80","443"]})")), "interface=eth0 port=80,443");
}

TEST(CtlJson, NamesTheSumsThatDoNotClose) {
  EXPECT_TRUE(open_sums(Json::parse(R"({"evaluated":3,"unmatched":1,"matched":2,"injected":2})")).empty());
  EXPECT_THAT(open_sums(Json::parse(R"({"evaluated":4,"unmatched":1,"matched":2,"injected":1})")),
              ElementsAre("evaluated 4 != unmatched 1 + matched 2", "matched 2 != 1, the sum of its parts"));
}

TEST(CtlProblem, ExitCodesAreTheContracts) {
  EXPECT_EQ(exit_for(Errc::kInvalid), Exit::kUsage);
  EXPECT_EQ(exit_for(Errc::kNotFound), Exit::kNotFound);
  EXPECT_EQ(exit_for(Errc::kDenied), Exit::kDenied);
  EXPECT_EQ(exit_for(Errc::kUnreachable), Exit::kUnreachable);
  EXPECT_EQ(exit_for(Errc::kRefused), Exit::kRefused);
  EXPECT_EQ(exit_for(Errc::kUnsupported), Exit::kRefused);
  EXPECT_EQ(exit_for(Errc::kInternal), Exit::kFailed);
  const std::pair<long, Exit> cases[] = {
      {400, Exit::kUsage},   {401, Exit::kDenied},  {403, Exit::kDenied},  {404, Exit::kNotFound},
      {405, Exit::kUsage},   {409, Exit::kRefused}, {413, Exit::kUsage},   {422, Exit::kUsage},
      {429, Exit::kRefused}, {500, Exit::kFailed},  {501, Exit::kRefused}, {503, Exit::kFailed},
  };
  for (const auto& [status, exit] : cases) EXPECT_EQ(exit_for_status(status), exit) << status;
}

TEST(CtlProblem, ShowsFieldRuleAndHint) {
  const Problem shown = problem_from_response(400, R"({"title":"T","detail":"too much\u001b[2J","field":"parameters.p",
                                                       "rule":"max 100%","hint":"ask for less"})");
  EXPECT_EQ(render(shown),
            "chaosctl: too much\\x1b[2J\n  field: parameters.p\n  rule: max 100%\n  hint: ask for less\n");
  EXPECT_EQ(shown.document["status"], 400);
}

TEST(CtlProblem, WrapsAForeignAnswer) {
  const Problem shown = problem_from_response(502, "<html>" + std::string(5000, 'x'));
  EXPECT_EQ(shown.exit, Exit::kFailed);
  EXPECT_THAT(text_of(shown.document, "detail"), HasSubstr("HTTP status 502: <html>xxx"));
  EXPECT_LT(text_of(shown.document, "detail").size(), 500U);
}

std::vector<SseEvent> events_of(std::string_view stream, std::size_t chunk) {
  std::vector<SseEvent> events;
  SseParser parser([&](const SseEvent& event) { events.push_back(event); });
  for (std::size_t i = 0; i < stream.size(); i += chunk) EXPECT_TRUE(parser.feed(stream.substr(i, chunk)));
  return events;
}

TEST(CtlSse, ReadsTheFormatWhereverTheBytesAreCut) {
  const std::string stream =
      "\xEF\xBB\xBFretry: 2000\n\nid: 7\nevent: scenario\ndata: {\ndata:  }\n\n: keep-alive\n\n"
      "data:x\r\n\r\nevent: nothing\n\rid: 9\rdata\r\r";
  for (std::size_t chunk = 1; chunk <= stream.size(); ++chunk) {
    const auto events = events_of(stream, chunk);
    ASSERT_EQ(events.size(), 3U) << chunk;
    EXPECT_EQ(events[0].id, "7");
    EXPECT_EQ(events[0].type, "scenario");
    EXPECT_EQ(events[0].data, "{\n }");
    EXPECT_EQ(events[1].type, "message");
    EXPECT_EQ(events[1].data, "x");
    EXPECT_EQ(events[1].id, "7");
    EXPECT_EQ(events[2].id, "9");
    EXPECT_EQ(events[2].data, "");
  }
}

TEST(CtlSse, GivesUpOnALineWithoutEnd) {
  SseParser parser([](const SseEvent&) {});
  const std::string block(std::size_t{1} << 20, 'x');
  EXPECT_TRUE(parser.feed(block));
  EXPECT_TRUE(parser.feed(block));
  EXPECT_TRUE(parser.feed(block));
  EXPECT_TRUE(parser.feed(block));
  EXPECT_FALSE(parser.feed("x"));
}

}  // namespace
}  // namespace chaos::ctl
