#include "latency_bed.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>

namespace chaos::test {

namespace fs = std::filesystem;

std::vector<pid_t> SyscallLatency::helpers() const {
  std::vector<pid_t> found;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (!std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
    std::string comm;
    std::ifstream(entry.path() / "comm") >> comm;
    std::string arguments;
    std::getline(std::ifstream(entry.path() / "cmdline"), arguments);
    if (comm == "chaosd-waits" && arguments.contains(daemon_->instance())) found.push_back(std::stoi(name));
  }
  std::ranges::sort(found);
  return found;
}

double SyscallLatency::until_nobody_waits() {
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] { return waiting(0) == 0; }, std::chrono::seconds(20)));
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace chaos::test
