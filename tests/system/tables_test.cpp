// chaosctl's tables as a user sees them: folded to the width of a terminal (script(1)), whole where there is none.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"

namespace chaos::test {
namespace {

std::size_t longest_line(const std::string& text) {
  std::size_t longest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("chaosctl ")) continue;  // a sentence with a command to copy
    longest = std::max(longest, line.size() - static_cast<std::size_t>(line.ends_with('\r')));
  }
  return longest;
}

/// Its words, in no order: folding changes that of columns.
std::multiset<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

TEST(Tables, FitTheirTerminalAndLoseNothing) {
  CHAOS_NEEDS_ROOT();
  const Daemon daemon;
  const std::string chaosctl = std::string(CHAOS_BIN_DIR "/chaosctl --no-color --socket ") + daemon.socket() + " ";
  for (const char* verb : {"kinds", "kinds packet_loss", "features"}) {
    const std::string whole = shell(chaosctl + verb);
    EXPECT_GT(longest_line(whole), 100U) << verb << ": nothing to fold";
    const std::string folded = shell("script -qec 'stty cols 100 && " + chaosctl + verb + "' /dev/null");
    EXPECT_LE(longest_line(folded), 100U) << folded;
    EXPECT_EQ(words_of(folded), words_of(whole)) << verb;
  }
}

}  // namespace
}  // namespace chaos::test
