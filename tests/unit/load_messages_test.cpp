// What chaosd and a load worker tell each other.
#include "load/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/unique_fd.h"

namespace chaos {
namespace {

using load_message::Message;

class LoadMessages : public testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    left_.reset(pair[0]);
    right_.reset(pair[1]);
  }
  UniqueFd left_;
  UniqueFd right_;
};

TEST_F(LoadMessages, ComeOneByOneAndTheEndIsToldFromNothing) {
  EXPECT_FALSE(load_message::receive(right_.get()));
  ASSERT_TRUE(load_message::send(left_.get(), load_message::kGo, "4711"));
  ASSERT_TRUE(load_message::send(left_.get(), load_message::kPrepare));
  const auto first = load_message::receive(right_.get());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->what, load_message::kGo);
  EXPECT_EQ(first->text, "4711");
  const auto second = load_message::receive(right_.get());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->what, load_message::kPrepare);
  EXPECT_EQ(second->text, "");
  EXPECT_FALSE(load_message::receive(right_.get()));
  left_.reset();
  const auto end = load_message::receive(right_.get());
  ASSERT_TRUE(end);
  EXPECT_EQ(end->what, 0);
  EXPECT_FALSE(load_message::send(right_.get(), load_message::kReady));
}

TEST_F(LoadMessages, NobodyIsWaitedFor) {
  int sent = 0;
  while (load_message::send(left_.get(), load_message::kFigures, std::string(1000, 'x')) && sent < 100000) ++sent;
  EXPECT_GT(sent, 0);
  EXPECT_LT(sent, 100000);
}

TEST(LoadMessageTexts, AnErrorComesBackWhole) {
  const Error error{
      .code = Errc::kRefused, .message = "no", .field = "parameters.path", .rule = "a rule", .hint = "so"};
  const Error back = load_message::error_of(load_message::to_text(error));
  EXPECT_EQ(back.code, error.code);
  EXPECT_EQ(back.message, error.message);
  EXPECT_EQ(back.field, error.field);
  EXPECT_EQ(back.rule, error.rule);
  EXPECT_EQ(back.hint, error.hint);
}

TEST(LoadMessageTexts, WhatIsNoErrorIsAnInternalOne) {
  EXPECT_EQ(load_message::error_of("").code, Errc::kInternal);
  EXPECT_EQ(load_message::error_of("99\nx").code, Errc::kInternal);
}

TEST(LoadMessageTexts, FiguresComeBack) {
  const std::map<std::string, std::string> figures{{"level", "49.8%"}, {"held", "1 GiB"}};
  EXPECT_EQ(load_message::figures_of(load_message::to_text(figures)), figures);
  EXPECT_THAT(load_message::figures_of("nonsense\n=\n"), testing::SizeIs(1));
}

}  // namespace
}  // namespace chaos
