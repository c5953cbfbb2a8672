#include "support/limited.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <stdexcept>

#include "support/net.h"
#include "support/text_file.h"

namespace chaos::test {
namespace {

const std::filesystem::path kFreezer = "/sys/fs/cgroup/freezer";

void remove_with_processes(const std::filesystem::path& directory) {
  (void)eventually([&] {
    std::ifstream procs(directory / "cgroup.procs");
    for (pid_t pid = 0; procs >> pid;) ::kill(pid, SIGKILL);
    return ::rmdir(directory.c_str()) == 0;
  });
}

}  // namespace

LimitedCgroup::LimitedCgroup(const std::string& controller, const std::string& v1_name)
    : cgroup_("limited-" + controller) {
  const std::string known = " " + text_of(cgroup_mount() / "cgroup.controllers") + " ";
  if (known.contains(" " + controller + " ")) {
    // Enabled for all cgroups below the root, as systemd does; what has no limit feels nothing of it.
    write_to(cgroup_mount() / "cgroup.subtree_control", "+" + controller);
    return;
  }
  const std::filesystem::path hierarchy =
      std::filesystem::path("/sys/fs/cgroup") / (v1_name.empty() ? controller : v1_name);
  v1_ = hierarchy / cgroup_.path().substr(1);
  if (!std::filesystem::create_directory(v1_)) throw std::runtime_error("make " + v1_.string());
}

LimitedCgroup::~LimitedCgroup() {
  if (!v1_.empty()) remove_with_processes(v1_);
}

void LimitedCgroup::add(pid_t pid) const {
  cgroup_.add(pid);
  if (!v2()) write_to(v1_ / "cgroup.procs", std::to_string(pid));
}

std::string LimitedCgroup::value(const std::string& file) const { return text_of(directory() / file); }

void LimitedCgroup::set(const std::string& file, const std::string& value) const {
  write_to(directory() / file, value);
}

bool V1Freezer::available() { return std::filesystem::exists(kFreezer / "cgroup.procs"); }

V1Freezer::V1Freezer(const std::string& label) {
  static std::atomic<unsigned> count{0};
  path_ = "/chaostest-" + std::to_string(::getpid()) + "-" + std::to_string(++count) + "-" + label;
  if (!std::filesystem::create_directory(directory())) throw std::runtime_error("make " + path_);
}

V1Freezer::~V1Freezer() {
  std::ofstream(directory() / "freezer.state") << "THAWED" << std::flush;
  remove_with_processes(directory());
}

std::filesystem::path V1Freezer::directory() const { return kFreezer / path_.substr(1); }

void V1Freezer::add(pid_t pid) const {
  write_to(cgroup_mount() / "cgroup.procs", std::to_string(pid));
  write_to(directory() / "cgroup.procs", std::to_string(pid));
}

std::string V1Freezer::state() const { return text_of(directory() / "freezer.state"); }

}  // namespace chaos::test
