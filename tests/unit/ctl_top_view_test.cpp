// chaosctl top: what keys do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl_top_support.h"

namespace chaos::test {
namespace {

using ctl::press;
using ctl::TopIntent;
using ctl::TopKey;
using ctl::TopOverlay;
using ctl::TopPanel;
using ctl::TopQuestion;
using ctl::TopView;
using Kind = TopIntent::Kind;
using std::chrono::milliseconds;

class TopKeys : public testing::Test {
 protected:
  TopKeys() {
    ctl::TopSample sample = sample_at(1);
    sample.scenarios["scenarios"] = {loss_scenario("C", 5), loss_scenario("B", 50), loss_scenario("A", 20)};
    model_ = modeler_.take(sample);
  }
  TopIntent letter(char text) { return press(view_, model_, {TopKey::Kind::kText, text}); }
  TopIntent key(TopKey::Kind kind) { return press(view_, model_, {kind}); }
  [[nodiscard]] std::string selected() const { return selected_fault(model_, view_)->id; }

  ctl::TopModeler modeler_;
  ctl::TopModel model_;
  TopView view_;
};

TEST_F(TopKeys, QuitAndPause) {
  EXPECT_EQ(letter('p').kind, Kind::kAskAnew);
  EXPECT_TRUE(view_.paused);
  EXPECT_EQ(letter(' ').kind, Kind::kAskAnew);
  EXPECT_FALSE(view_.paused);
  EXPECT_EQ(letter('\f').kind, Kind::kRedraw);
  EXPECT_EQ(letter('q').kind, Kind::kQuit);
}

TEST_F(TopKeys, StopsOnlyAfterYes) {
  EXPECT_EQ(letter('x').kind, Kind::kNone);
  EXPECT_EQ(view_.question, TopQuestion::kStop);
  EXPECT_EQ(letter('q').kind, Kind::kNone) << "any other key is a no, and nothing else";
  EXPECT_EQ(view_.question, TopQuestion::kNone);
  letter('x');
  EXPECT_EQ(key(TopKey::Kind::kEnter).kind, Kind::kNone);
  EXPECT_EQ(view_.question, TopQuestion::kNone);
  letter('x');
  const TopIntent intent = letter('y');
  EXPECT_EQ(intent.kind, Kind::kStop);
  EXPECT_EQ(intent.id, "C");
}

TEST_F(TopKeys, AQuestionIsAboutTheFaultThatWasSelectedThen) {
  letter('x');
  model_.faults.erase(model_.faults.begin());
  EXPECT_EQ(letter('y').id, "C") << "not the one that has taken its row";
}

TEST_F(TopKeys, NothingToStop) {
  model_.faults.clear();
  letter('x');
  EXPECT_EQ(view_.question, TopQuestion::kNone);
  EXPECT_EQ(view_.notice.text, "there is no fault to stop");
}

TEST_F(TopKeys, EmergencyStopOnlyAfterYes) {
  letter('E');
  EXPECT_EQ(letter('n').kind, Kind::kNone);
  letter('E');
  EXPECT_EQ(letter('y').kind, Kind::kEmergencyStop);
  EXPECT_EQ(letter('y').kind, Kind::kNone) << "once";
}

TEST_F(TopKeys, SelectionStaysWithItsFault) {
  EXPECT_EQ(selected(), "C");
  key(TopKey::Kind::kDown);
  EXPECT_EQ(selected(), "B");
  letter('s');  // by injected
  EXPECT_EQ(selected(), "B");
  EXPECT_EQ(sorted_faults(model_, view_).front()->id, "B");
  letter('j');
  EXPECT_EQ(selected(), "A");
  letter('j');
  letter('j');
  EXPECT_EQ(selected(), "C") << "the end is the end";
  key(TopKey::Kind::kHome);
  EXPECT_EQ(selected(), "B");
  key(TopKey::Kind::kEnd);
  letter('k');
  EXPECT_EQ(selected(), "A");
  std::erase_if(model_.faults, [](const ctl::TopFault& fault) { return fault.id == "A"; });
  EXPECT_EQ(selected(), "B");
}

TEST_F(TopKeys, SortsGoRound) {
  for (const TopPanel panel : {TopPanel::kFaults, TopPanel::kServices, TopPanel::kDrops}) {
    view_.focus = panel;
    for (std::size_t i = 0; i < ctl::sort_names(panel).size(); ++i) letter('s');
    EXPECT_EQ(view_.sorted[static_cast<std::size_t>(panel)], 0U);
  }
  view_.focus = TopPanel::kServices;
  letter('s');
  EXPECT_EQ(sorted_services(model_, view_).front()->name, "store") << "what is wrong first";
}

TEST_F(TopKeys, FocusGoesToPanelsThatAreShown) {
  key(TopKey::Kind::kTab);
  EXPECT_EQ(view_.focus, TopPanel::kServices);
  letter('4');
  EXPECT_FALSE(view_.shows(TopPanel::kDrops));
  key(TopKey::Kind::kTab);
  EXPECT_EQ(view_.focus, TopPanel::kFaults);
  letter('2');
  EXPECT_EQ(view_.focus, TopPanel::kServices) << "a panel that is hidden has no focus";
  letter('3');
  EXPECT_EQ(view_.focus, TopPanel::kServices) << "none is left";
  letter('1');
  EXPECT_EQ(screen(model_, view_, {80, 24}).size(), 24U);
}

TEST_F(TopKeys, IntervalHasBounds) {
  letter('+');
  EXPECT_EQ(view_.interval, milliseconds(2000));
  for (int i = 0; i < 20; ++i) letter('+');
  EXPECT_EQ(view_.interval, milliseconds(60'000));
  for (int i = 0; i < 20; ++i) letter('-');
  EXPECT_EQ(view_.interval, milliseconds(250));
  view_.interval = milliseconds(700);
  letter('+');
  EXPECT_EQ(view_.interval, milliseconds(1000));
  view_.interval = milliseconds(700);
  letter('-');
  EXPECT_EQ(view_.interval, milliseconds(500));
}

TEST_F(TopKeys, DropsAreAskedForByAKey) {
  letter('4');
  EXPECT_EQ(letter('d').kind, Kind::kAskAnew);
  EXPECT_TRUE(view_.drops);
  EXPECT_TRUE(view_.shows(TopPanel::kDrops)) << "what was asked for is shown";
  letter('d');
  EXPECT_FALSE(view_.drops);
}

TEST_F(TopKeys, OverlaysScroll) {
  letter('?');
  EXPECT_EQ(view_.overlay, TopOverlay::kHelp);
  letter('k');
  EXPECT_EQ(view_.scroll, 0U);
  letter('j');
  EXPECT_EQ(view_.scroll, 1U);
  key(TopKey::Kind::kEscape);
  EXPECT_EQ(view_.overlay, TopOverlay::kNone);
  key(TopKey::Kind::kEnter);
  EXPECT_EQ(view_.overlay, TopOverlay::kDetails);
  EXPECT_EQ(view_.scroll, 0U);
  key(TopKey::Kind::kEnter);
  EXPECT_EQ(view_.overlay, TopOverlay::kNone);
}

}  // namespace
}  // namespace chaos::test
