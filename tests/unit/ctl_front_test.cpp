// The front program: it sends an emergency stop ahead only where the whole parser would understand the same, and once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <random>

#include "ctl/brake_front.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using ctl::FrontMessage;
using ctl::Json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct Asked {
  std::string socket;
  std::string reason;
  bool operator==(const Asked&) const = default;
};

std::optional<Asked> front(std::vector<std::string> words, const char* environment = nullptr) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  const auto request = ctl::front_request(pointers, environment);
  if (!request) return std::nullopt;
  return Asked{std::string(request->socket), std::string(request->reason)};
}

const std::string kUsual = "/run/chaosd/chaosd.sock";

TEST(CtlFront, TakesTheWordsOfAnEmergencyStop) {
  const std::string why(ctl::kBrakeReason);
  EXPECT_EQ(front({"emergency-stop"}), (Asked{kUsual, why}));
  EXPECT_EQ(front({"emergency-stop"}, "/x"), (Asked{"/x", why}));
  EXPECT_EQ(front({"emergency-stop"}, ""), (Asked{kUsual, why}));
  EXPECT_EQ(front({"--socket", "/s", "emergency-stop"}, "/x"), (Asked{"/s", why}));
  EXPECT_EQ(front({"emergency-stop", "--socket=/s", "--reason", "it is late"}), (Asked{"/s", "it is late"}));
  EXPECT_EQ(front({"-o", "json", "emergency-stop", "--state-dir", "/a", "--no-color", "--runtime-dir=/b"}),
            (Asked{kUsual, why}));
}

TEST(CtlFront, LeavesTheRestToTheParser) {
  const std::vector<std::vector<std::string>> lines{{},
                                                    {"list"},
                                                    {"stop", "--all"},
                                                    {"emergency-stop", "--help"},
                                                    {"emergency-stop", "now"},
                                                    {"emergency-stop", "emergency-stop"},
                                                    {"emergency-stop", "--reason"},
                                                    {"emergency-stop", "--reason", ""},
                                                    {"emergency-stop", "--reason", "a", "--reason", "b"},
                                                    {"emergency-stop", "--reason", "a \"quoted\" word"},
                                                    {"emergency-stop", "--reason", "a \\ in it"},
                                                    {"emergency-stop", "--reason", "\xc3\xbc"},
                                                    {"emergency-stop", "--reason", "two\nlines"},
                                                    {"emergency-stop", "--reason", std::string(5000, 'x')},
                                                    {"emergency-stop", "--socket", "-o"},
                                                    {"emergency-stop", "-o", "xml"},
                                                    {"--reason", "a", "emergency-stop"},
                                                    {"start", "packet_loss", "--", "emergency-stop"}};
  for (const auto& line : lines) EXPECT_EQ(front(line), std::nullopt) << testing::PrintToString(line);
}

TEST(CtlFront, AReasonThatDoesNotFitGivesNoMessage) {
  EXPECT_THAT(FrontMessage(std::string(5000, 'x')).text(), IsEmpty());
  EXPECT_THAT(FrontMessage(std::string(1024, 'x')).text(), testing::EndsWith(std::string(1024, 'x') + "\"}"));
}

class CtlFrontBinary : public testing::Test {
 protected:
  static FakeReply reply(const FakeRequest&) { return {200, R"({"stopped":["s1"],"latched":true})", {}}; }
  int run(std::vector<std::string> words, const std::string& program = CHAOS_BIN_DIR "/chaosctl") {
    words.insert(words.begin(), program);
    Child child(words, dir_.path());
    return child.wait();
  }

  ScratchDir dir_;
  FakeDaemon here_{dir_ / "here.sock", reply};
  FakeDaemon there_{dir_ / "there.sock", reply};
};

TEST_F(CtlFrontBinary, AsksOnceAndTheAnswerIsRead) {
  EXPECT_EQ(run({"emergency-stop", "--socket", here_.socket(), "--reason", "it is late"}), 0);
  EXPECT_THAT(read_text(dir_ / "out"), HasSubstr("Emergency stop: 1 scenario stopped"));
  ASSERT_THAT(here_.requests(), SizeIs(1));
  const FakeRequest request = here_.requests()[0];
  EXPECT_EQ(request.head + "\r\n\r\n" + request.body, FrontMessage("it is late").text());
}

TEST_F(CtlFrontBinary, WhatMustBeEscapedIsAskedByTheProgramProper) {
  EXPECT_EQ(run({"emergency-stop", "--socket", here_.socket(), "--reason", "a \"quoted\" word"}), 0);
  ASSERT_THAT(here_.requests(), SizeIs(1));
  EXPECT_EQ(Json::parse(here_.requests()[0].body)["reason"], "a \"quoted\" word");
}

TEST_F(CtlFrontBinary, HelpAndMistakesStopNothing) {
  EXPECT_EQ(run({"emergency-stop", "--socket", here_.socket(), "--help"}), 0);
  EXPECT_EQ(run({"emergency-stop", "--socket", here_.socket(), "--raeson", "x"}), 2);
  EXPECT_EQ(run({"emergency-stop", "--socket", here_.socket(), "-o", "xml"}), 2);
  EXPECT_THAT(here_.requests(), IsEmpty());
}

TEST_F(CtlFrontBinary, StopsEvenWhereTheProgramProperIsGone) {
  std::filesystem::create_directory(dir_ / "bin");
  const auto program = dir_ / "bin/chaosctl";
  std::filesystem::copy_file(CHAOS_BIN_DIR "/chaosctl", program);
  EXPECT_EQ(run({"emergency-stop", "--socket", here_.socket()}, program), 1);
  EXPECT_THAT(read_text(dir_ / "err"), HasSubstr("chaosctl: cannot run " + (dir_ / "bin").string()));
  EXPECT_TRUE(here_.wait_for("/api/chaos/emergency-stop"));
}

// Whatever is sent ahead is what the whole parser would have asked for, of the same socket.
TEST_F(CtlFrontBinary, UnderstandsNothingThatTheParserDoesNot) {
  const std::vector<std::string> vocabulary{"emergency-stop",
                                            "emergency-stop",
                                            "--socket",
                                            here_.socket(),
                                            there_.socket(),
                                            "--reason",
                                            "late",
                                            "--reason=so",
                                            "-o",
                                            "json",
                                            "table",
                                            "--output=json",
                                            "--no-color",
                                            "--socket=" + there_.socket(),
                                            "--",
                                            "-ojson"};
  std::mt19937 random(20261125);
  std::size_t understood = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::string> words(1 + random() % 6);
    for (std::string& word : words) word = vocabulary[random() % vocabulary.size()];
    const auto asked = front(words, here_.socket().c_str());
    // A word of the vocabulary may stand as the socket's name as well; nobody listens there.
    if (!asked || (asked->socket != here_.socket() && asked->socket != there_.socket())) continue;
    ++understood;
    const FakeDaemon& daemon = asked->socket == here_.socket() ? here_ : there_;
    const std::size_t before = daemon.requests().size();
    const ScopedEnv environment("CHAOSD_SOCKET", here_.socket().c_str());
    const Ran ran = run_ctl(words);
    ASSERT_EQ(ran.exit, 0) << testing::PrintToString(words) << ran.err;
    const auto requests = daemon.requests();
    ASSERT_EQ(requests.size(), before + 1) << testing::PrintToString(words);
    ASSERT_EQ(Json::parse(requests.back().body)["reason"], asked->reason) << testing::PrintToString(words);
  }
  EXPECT_GT(understood, 100);
}

}  // namespace
}  // namespace chaos::test
