#include "support/limited.h"

#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "support/net.h"

namespace chaos::test {
namespace {

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

void write_to(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  if (!out) throw std::runtime_error("write " + text + " to " + file.string());
}

}  // namespace

LimitedCgroup::LimitedCgroup(const std::string& controller) : cgroup_("limited-" + controller) {
  const std::string known = " " + text_of(cgroup_mount() / "cgroup.controllers") + " ";
  if (known.contains(" " + controller + " ")) {
    // Enabled for all cgroups below the root, as systemd does; what has no limit feels nothing of it.
    write_to(cgroup_mount() / "cgroup.subtree_control", "+" + controller);
    return;
  }
  const std::filesystem::path hierarchy = std::filesystem::path("/sys/fs/cgroup") / controller;
  v1_ = hierarchy / cgroup_.path().substr(1);
  if (!std::filesystem::create_directory(v1_)) throw std::runtime_error("make " + v1_.string());
}

LimitedCgroup::~LimitedCgroup() {
  if (v1_.empty()) return;
  (void)eventually([&] {
    std::ifstream procs(v1_ / "cgroup.procs");
    for (pid_t pid = 0; procs >> pid;) ::kill(pid, SIGKILL);
    return ::rmdir(v1_.c_str()) == 0;
  });
}

void LimitedCgroup::add(pid_t pid) const {
  cgroup_.add(pid);
  if (!v2()) write_to(v1_ / "cgroup.procs", std::to_string(pid));
}

std::string LimitedCgroup::value(const std::string& file) const { return text_of(directory() / file); }

void LimitedCgroup::set(const std::string& file, const std::string& value) const {
  write_to(directory() / file, value);
}

}  // namespace chaos::test
