// chaosctl top: screens of any size, whatever they have to show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/top_panels.h"
#include "ctl_top_support.h"

namespace chaos::test {
namespace {

using ctl::Colour;
using ctl::TopModel;
using ctl::TopModeler;
using ctl::TopOverlay;
using ctl::TopSample;
using ctl::TopView;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TopModel model_with_drops() {
  TopModeler modeler;
  TopSample sample = sample_at(0);
  sample.drops = drops_answer(0, 0, 0);
  sample.tcp = tcp_answer(0, 0);
  (void)modeler.take(sample);
  sample = sample_at(10);
  sample.drops = drops_answer(10, 100, 23);
  sample.tcp = tcp_answer(10, 40);
  return modeler.take(sample);
}

std::size_t index_of(const std::vector<std::string>& lines, std::string_view text) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].find(text) != std::string::npos) return i;
  }
  ADD_FAILURE() << "no \"" << text << "\" in\n" << joined(lines);
  return 0;
}

TEST(TopLayout, At80By24) {
  const auto lines = screen(model_with_drops(), {}, {80, 24});
  ASSERT_EQ(lines.size(), 24U);
  EXPECT_THAT(lines[0], AllOf(HasSubstr("chaosd 0.1.0"), HasSubstr("up 1h 1m"), HasSubstr("armed"), HasSubstr("874ms"),
                              HasSubstr("every 1s")));
  EXPECT_THAT(lines[1],
              AllOf(StartsWith("CPU"), HasSubstr("35.0%"), HasSubstr("steal 3.0"), HasSubstr("0.52 0.40 0.30")));
  EXPECT_THAT(lines[2], AllOf(StartsWith("Mem"), HasSubstr("25.0%"), HasSubstr("8.0G"), HasSubstr("OOM kills 3")));
  EXPECT_THAT(lines[3], AllOf(StartsWith("PSI"), HasSubstr("cpu 25.0%"), HasSubstr("memory 0.5%")));
  EXPECT_THAT(lines[4], AllOf(StartsWith("Net"), HasSubstr("eth0 in 2.0K out 1.0K"), HasSubstr("lost 3/s")));
  EXPECT_THAT(lines[5], AllOf(StartsWith("Disk"), HasSubstr("vda read 0 write 4.0K busy 50.0%")));
  EXPECT_THAT(lines[6], AllOf(StartsWith("TCP"), HasSubstr("128 open"), HasSubstr("retransmits 12/s")));
  const std::size_t faults = index_of(lines, "Faults");
  EXPECT_THAT(lines[faults], HasSubstr("1 active, 0 queued"));
  EXPECT_THAT(lines[faults + 2], AllOf(HasSubstr("active"), HasSubstr("packet_loss"), HasSubstr("9.3%"),
                                       HasSubstr("100"), HasSubstr("1m 30s")));
  const std::size_t services = index_of(lines, "Services");
  EXPECT_THAT(lines[services], HasSubstr("2, 1 not well"));
  EXPECT_THAT(lines[services + 3],
              AllOf(HasSubstr("store"), HasSubstr("unhealthy"), HasSubstr("no answer within 1 s")));
  const std::size_t drops = index_of(lines, "Drops by reason");
  EXPECT_THAT(lines[drops], HasSubstr("100 injected, 23 natural in 10s"));
  EXPECT_THAT(lines[drops + 1], AllOf(HasSubstr("retransmits 40 (4/s)"), HasSubstr("RTT p50/p99 0.511/0.895ms")));
  EXPECT_THAT(lines[drops + 3],
              AllOf(HasSubstr("TC_INGRESS"), HasSubstr("injected"), HasSubstr("100"), HasSubstr("10")));
  EXPECT_THAT(lines[drops + 4], AllOf(HasSubstr("SOCKET_RCVBUFF"), HasSubstr("natural")));
  EXPECT_THAT(lines[23], AllOf(HasSubstr("q quit"), HasSubstr("E EMERGENCY STOP")));
}

TEST(TopLayout, At200By60ThereIsRoomForMore) {
  const auto lines = screen(model_with_drops(), {}, {200, 60});
  ASSERT_EQ(lines.size(), 60U);
  EXPECT_THAT(joined(lines), AllOf(HasSubstr("DEVICE"), HasSubstr("01J8Z3Q4R5S6T7V8W9XAYBZCDE"),
                                   HasSubstr("probability=10%, model=random"), HasSubstr("not_sampled")));
  EXPECT_THAT(lines[index_of(lines, "Services")], HasSubstr("Drops by reason")) << "side by side";
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("TCP retransmits"), HasSubstr("█"))));
}

// The one rule that holds for all: never more than there is room for.
TEST(TopLayout, FitsIntoAnySize) {
  TopModel model = model_with_drops();
  const ctl::TopFault fault = model.faults[0];
  for (int i = 0; i < 30; ++i) model.faults.push_back(fault);
  for (int i = 0; i < 30; ++i) model.services.push_back(model.services[0]);
  model.problems = {std::string(300, 'x')};
  for (const TopOverlay overlay : {TopOverlay::kNone, TopOverlay::kHelp, TopOverlay::kDetails}) {
    for (const bool unicode : {true, false}) {
      for (std::size_t columns = 0; columns <= 210; columns += columns < 90 ? 1 : 13) {
        for (const std::size_t rows : {0U, 1U, 2U, 3U, 4U, 5U, 7U, 10U, 15U, 24U, 60U, 200U}) {
          TopView view;
          view.overlay = overlay;
          view.scroll = 3;
          const auto lines = ctl::lay_out(model, view, {columns, rows}, {unicode});
          ASSERT_LE(lines.size(), rows) << columns << "x" << rows;
          for (const ctl::TopLine& line : lines) ASSERT_LE(ctl::width_of(line), columns) << columns << "x" << rows;
        }
      }
    }
  }
  EXPECT_EQ(screen(model, {}, {10, 3}).front(), "too small…");
}

TEST(TopLayout, FillsTheScreenAndEndsWithTheKeys) {
  for (const std::size_t rows : {4U, 5U, 9U, 24U, 60U}) {
    const auto lines = screen(model_with_drops(), {}, {100, rows});
    ASSERT_EQ(lines.size(), rows);
    EXPECT_THAT(lines.back(), HasSubstr("q quit"));
  }
}

TEST(TopLayout, EveryListGetsItsShare) {
  TopModel model = model_with_drops();
  const ctl::TopFault fault = model.faults[0];
  for (int i = 0; i < 50; ++i) model.faults.push_back(fault);
  const std::string text = joined(screen(model, {}, {80, 24}));
  EXPECT_THAT(text, AllOf(HasSubstr("store"), HasSubstr("TC_INGRESS"), HasSubstr("51 active")));
}

TEST(TopLayout, TheSelectedRowIsInView) {
  TopModel model = model_with_drops();
  model.faults.clear();
  for (int i = 0; i < 40; ++i) {
    ctl::TopFault fault;
    fault.id = fault.kind = "kind" + std::to_string(i);
    model.faults.push_back(fault);
  }
  TopView view;
  for (const int i : {0, 1, 17, 38, 39}) {
    const std::string name = "kind" + std::to_string(i);
    view.selected[static_cast<std::size_t>(ctl::TopPanel::kFaults)] = name;
    bool found = false;
    for (const ctl::TopLine& line : ctl::lay_out(model, view, {80, 24}, {true})) {
      for (const ctl::TopSpan& span : line.spans) found = found || (span.reverse && span.text == name);
    }
    EXPECT_TRUE(found) << name;
  }
}

TEST(TopLayout, WhatTheDaemonSaysCannotSteerTheTerminal) {
  TopSample sample = sample_at(1);
  const std::string evil = "\x1b[2J\x1b]0;owned\x07\r\n\xC2\x9B\xFF\xE2\x80\xAE漢字";
  sample.health["version"] = evil;
  sample.health["instance"] = evil;
  sample.problems = {evil};
  for (const char* name : {"kind", "id", "reason", "state"}) sample.scenarios["scenarios"][0][name] = evil;
  sample.scenarios["scenarios"][0]["target"] = {{evil, evil}};
  sample.scenarios["scenarios"][0]["warnings"] = {evil};
  sample.services["services"][0]["name"] = evil;
  sample.services["services"][1]["health"]["reason"] = evil;
  sample.host["metrics"].push_back({{"name", "chaosd_host_network_receive_bytes_total"},
                                    {"type", "counter"},
                                    {"labels", {{"device", evil}}},
                                    {"value", 1}});
  sample.drops = drops_answer(1, 5, 5);
  (*sample.drops)->at("reasons").at(0)["reason"] = evil;
  TopModeler modeler;
  (void)modeler.take(sample);
  TopModel model = modeler.take(sample);
  for (const bool lost : {false, true}) {
    if (lost) model.lost = evil;
    for (const TopOverlay overlay : {TopOverlay::kNone, TopOverlay::kDetails}) {
      for (const bool unicode : {true, false}) {
        TopView view;
        view.overlay = overlay;
        view.notice.text = evil;
        const auto lines = screen(model, view, {200, 60}, unicode);
        const std::string text = joined(lines);
        for (const char c : text) {
          const auto byte = static_cast<unsigned char>(c);
          ASSERT_TRUE(byte == '\n' || byte >= 0x20) << text;
          ASSERT_TRUE(unicode || byte < 0x7f) << text;
        }
        EXPECT_THAT(text, AllOf(HasSubstr("\\x1b[2J"), Not(HasSubstr("\xC2\x9B")), Not(HasSubstr("\xE2\x80\xAE")),
                                Not(HasSubstr("\xFF"))));
      }
    }
  }
}

TEST(TopLayout, SaysThatTheDaemonIsGone) {
  TopModel model = model_with_drops();
  model.lost = "nobody listens on /run/x";
  model.lost_since = at_second(10);
  model.time = at_second(22);
  const auto lines = screen(model, {}, {80, 24});
  EXPECT_THAT(lines[0], HasSubstr("NOT CONNECTED for 12s: nobody listens on /run/x"));
  EXPECT_THAT(joined(lines), HasSubstr("packet_loss")) << "what it last said is still there";
}

TEST(TopLayout, DropsSayWhyThereAreNone) {
  TopModeler modeler;
  TopModel model = modeler.take(sample_at(1));
  TopView view;
  EXPECT_THAT(joined(screen(model, view, {80, 24})), HasSubstr("not asked for: d attaches the eBPF programs"));
  view.drops = true;
  EXPECT_THAT(joined(screen(model, view, {80, 24})), HasSubstr("asked for; the first counts come"));
  model.drops.state = ctl::TopDrops::State::kRefused;
  model.drops.refusal = "eight scopes are the most";
  EXPECT_THAT(joined(screen(model, view, {80, 24})), HasSubstr("eight scopes are the most"));
}

TEST(TopLayout, QuestionsAndNotices) {
  TopModel model = model_with_drops();
  TopView view;
  view.question = ctl::TopQuestion::kStop;
  view.asked_about = model.faults[0].id;
  EXPECT_THAT(screen(model, view, {80, 24}).back(), StartsWith("Stop 01J8Z3Q4R5S6T7V8W9XAYBZCDE? y: yes"));
  view.question = ctl::TopQuestion::kEmergencyStop;
  EXPECT_THAT(screen(model, view, {80, 24}).back(), StartsWith("EMERGENCY STOP"));
  view.question = ctl::TopQuestion::kNone;
  view.notice = {"done", Colour::kGreen, model.time + std::chrono::seconds(1)};
  EXPECT_EQ(screen(model, view, {80, 24}).back(), "done");
  model.time += std::chrono::seconds(1);
  EXPECT_THAT(screen(model, view, {80, 24}).back(), HasSubstr("q quit"));
}

TEST(TopLayout, AFaultThatHitsNothingIsYellow) {
  TopModel model = model_with_drops();
  model.faults[0].matched = 0;
  bool yellow = false;
  for (const ctl::TopLine& line : ctl::lay_out(model, {}, {120, 24}, {true})) {
    for (const ctl::TopSpan& span : line.spans) {
      yellow = yellow || (span.text == "active" && span.colour == Colour::kYellow);
    }
  }
  EXPECT_TRUE(yellow);
}

TEST(TopLayout, DetailsHoldEverything) {
  TopView view;
  view.overlay = TopOverlay::kDetails;
  const TopModel model = model_with_drops();
  const std::string text = joined(screen(model, view, {80, 60}));
  EXPECT_THAT(text, AllOf(HasSubstr("interface=eth1 port=80,443"), HasSubstr("drill"), HasSubstr("not_sampled"),
                          HasSubstr("root (uid 0) by chaosctl"), HasSubstr("tcx")));
  view.scroll = 10'000;
  EXPECT_THAT(joined(screen(model, view, {80, 24})), HasSubstr("over_limit")) << "the end stays in view";
}

TEST(TopLayout, AsTextNothingIsCutOffBelow) {
  TopModel model = model_with_drops();
  const ctl::TopFault fault = model.faults[0];
  for (int i = 0; i < 99; ++i) model.faults.push_back(fault);
  TopView view;
  view.batch = true;
  const auto lines = screen(model, view, {120, 0});
  EXPECT_GT(lines.size(), 110U);
  EXPECT_THAT(joined(lines), AllOf(Not(HasSubstr("q quit")), HasSubstr("SOCKET_RCVBUFF")));
}

TEST(TopText, ColumnsGoBeforeTheyBecomeUseless) {
  const std::vector<ctl::TopColumn> columns{
      {"NAME", false, 4, 20}, {"EXTRA", false, 5, 20, 2}, {"MORE", false, 4, 20, 1}, {"N", true, 3}};
  const std::vector<ctl::TopRow> rows{{{{"a long name"}, {"extra"}, {"more"}, {"7"}}, false}};
  const auto text = [&](std::size_t width) {
    std::vector<std::string> lines;
    for (const ctl::TopLine& line : ctl::table_lines(columns, rows, width, {true})) {
      std::string all;
      for (const ctl::TopSpan& span : line.spans) all += span.text;
      lines.push_back(all);
    }
    return lines;
  };
  EXPECT_EQ(text(40), (std::vector<std::string>{"NAME        EXTRA MORE N", "a long name extra more 7"}));
  EXPECT_EQ(text(16), (std::vector<std::string>{"NAME      MORE N", "a long n… more 7"}));
  EXPECT_EQ(text(9), (std::vector<std::string>{"NAME    N", "a long… 7"}));
  EXPECT_EQ(text(2).size(), 2U);
}

TEST(TopText, ThePastAsHeights) {
  const ctl::TopGlyphs unicode{true};
  EXPECT_EQ(ctl::past_text({0, 0.25, 0.5, 1}, 10, 1, unicode), " ▂▄█");
  EXPECT_EQ(ctl::past_text({9, 0, 4, 8}, 3, 0, unicode), " ▄█") << "the newest, as high as they are themselves";
  EXPECT_EQ(ctl::past_text({0, 1}, 10, 1, {false}), " #");
  EXPECT_EQ(ctl::past_text({0, 0}, 10, 0, unicode), "  ");
  EXPECT_EQ(ctl::past_text({}, 10, 1, unicode), "");
  EXPECT_EQ(ctl::past_text({0.0001}, 10, 1, unicode), "▁") << "what is there is seen";
}

TEST(TopText, Numbers) {
  EXPECT_EQ(ctl::bytes_text(std::nullopt), "-");
  EXPECT_EQ(ctl::bytes_text(0), "0");
  EXPECT_EQ(ctl::bytes_text(999), "999");
  EXPECT_EQ(ctl::bytes_text(1024), "1.0K");
  EXPECT_EQ(ctl::bytes_text(1023.0 * 1024 * 1024), "1.0G");
  EXPECT_EQ(ctl::number_text(0.25), "0.2");
  EXPECT_EQ(ctl::number_text(12.4), "12");
  EXPECT_EQ(ctl::number_text(123456), "123k");
  EXPECT_EQ(ctl::percent_text(0.123), "12.3%");
}

/// Of the lines of details, those of one label, without it.
std::vector<std::string> values_of(const std::vector<ctl::TopLine>& lines, const std::string& label) {
  constexpr std::size_t kLabel = 18;
  std::vector<std::string> values;
  for (const ctl::TopLine& line : lines) {
    std::string text;
    for (const ctl::TopSpan& span : line.spans) text += span.text;
    if (text.starts_with(label) || (!values.empty() && text.starts_with(std::string(kLabel, ' ')))) {
      values.push_back(text.substr(kLabel));
    } else if (!values.empty()) {
      break;
    }
  }
  return values;
}

TEST(TopLayout, DetailsGoOnBelowAtTheEndOfAWord) {
  ctl::TopFault fault;
  const std::string path = "/sys/fs/cgroup/system.slice/system-something.slice/something@instance.service";
  fault.record = {{"reason", "whoever reads this shall not have to put words together again"},
                  {"plan", {{"mechanism", path}, {"notes", {std::string(70, 'x')}}}}};
  const auto lines = ctl::detail_lines(fault, at_second(0), {.width = 50, .glyphs = {}});
  EXPECT_THAT(values_of(lines, "reason"),
              testing::ElementsAre("whoever reads this shall not", "have to put words together again"));
  EXPECT_THAT(
      values_of(lines, "mechanism"),
      testing::ElementsAre("/sys/fs/cgroup/system.slice/", "system-something.slice/", "something@instance.service"));
  const auto longest = values_of(lines, "note");
  EXPECT_EQ(joined(longest).find_first_not_of("x\n"), std::string::npos) << "a word that has no end is cut";
  EXPECT_EQ(longest.size(), 3U);
}

TEST(CtlText, CellsTakeTheColumnsTheyAreThoughtToTake) {
  EXPECT_EQ(ctl::cell_text("e\xCC\x81漢", true), "e\xCC\x81漢");
  EXPECT_EQ(ctl::cell_text("a\xE2\x80\x8D"
                           "b\xEF\xB8\x8F",
                           true),
            "ab");  // zero-width joiner, variation selector
  EXPECT_EQ(ctl::cell_text("\xCD\xB8", true), "\\u0378") << "no character of Unicode";
  EXPECT_EQ(ctl::cell_text("ä\x1b\xFF", false), "\\xe4\\x1b?");
  EXPECT_EQ(ctl::cut_to("漢字漢字", 8, true), "漢字漢字");
  EXPECT_EQ(ctl::cut_to("漢字漢字", 7, true), "漢字漢…");
  EXPECT_EQ(ctl::cut_to("漢字漢字", 6, true), "漢字…") << "half a character is none";
  EXPECT_EQ(ctl::cut_to("abcdef", 3, false), "ab~");
  EXPECT_EQ(ctl::cut_to("abcdef", 0, true), "");
}

}  // namespace
}  // namespace chaos::test
