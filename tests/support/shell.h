// run: a shell command whose failure comes back with what it printed.
#pragma once

#include <array>
#include <cstdio>
#include <string>

#include "base/result.h"

namespace chaos::test {

inline Status run(const std::string& command) {
  std::FILE* pipe = ::popen(("exec 2>&1; " + command).c_str(), "re");
  if (pipe == nullptr) return fail_errno(command);
  std::string output;
  std::array<char, 512> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
  if (::pclose(pipe) != 0) return fail(Errc::kInternal, command + ": " + output);
  return {};
}

}  // namespace chaos::test
