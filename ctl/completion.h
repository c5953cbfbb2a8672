// Completion: the shells' scripts, and the candidates that they ask for by the hidden verb `__complete`. Kinds,
// parameters and ids come from the daemon at that moment; when it does not answer at once, there are just none.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "ctl/problem.h"

namespace chaos::ctl {

inline constexpr std::string_view kCompleteVerb = "__complete";

struct Candidate {
  std::string value;
  std::string help{};
};

/// What may stand in place of the last of `words` (which may be empty); `words` begin behind "chaosctl".
[[nodiscard]] std::vector<Candidate> complete(const std::vector<std::string>& words);
/// One candidate a line: VALUE<TAB>HELP.
Exit print_completions(const std::vector<std::string>& words, std::ostream& out);

/// The script for bash, zsh or fish; empty for any other shell.
[[nodiscard]] std::string_view completion_script(std::string_view shell);

}  // namespace chaos::ctl
