#include "support/cgroup.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <limits>
#include <mutex>
#include <stdexcept>

#include "support/text_file.h"

namespace chaos::test {
namespace {

/// The line of /proc/self/cgroup for the v2 tree.
std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  throw std::runtime_error("this process is in no v2 cgroup");
}

std::string procs_of(const std::string& path) { return cgroup_mount().string() + path + "/cgroup.procs"; }

}  // namespace

const std::filesystem::path& cgroup_mount() {
  static const std::filesystem::path mount = [] {
    std::ifstream mounts("/proc/self/mounts");
    std::string device;
    std::string point;
    std::string type;
    while (mounts >> device >> point >> type) {
      if (type == "cgroup2") return std::filesystem::path(point);
      mounts.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
    }
    throw std::runtime_error("no cgroup v2 tree is mounted");
  }();
  return mount;
}

TestCgroup::TestCgroup(std::string_view label) {
  static std::atomic<unsigned> count{0};
  path_ = "/chaostest-" + std::to_string(::getpid()) + "-" + std::to_string(++count) + "-" + std::string(label);
  make();
}

TestCgroup::TestCgroup(const TestCgroup& parent, std::string_view name)
    : path_(parent.path() + "/" + std::string(name)) {
  make();
}

TestCgroup::TestCgroup(TestCgroup&& other) noexcept : path_(std::exchange(other.path_, {})) {}

TestCgroup::~TestCgroup() {
  try {
    remove();
  } catch (const std::exception&) {
    // The leftovers check of the whole run tells.
  }
}

void TestCgroup::make() {
  if (!std::filesystem::create_directory(directory())) throw std::runtime_error("cgroup exists: " + path_);
}

std::filesystem::path TestCgroup::directory() const { return cgroup_mount().string() + path_; }

void TestCgroup::run(const std::function<void()>& job) const {
  static std::mutex one_at_a_time;
  const std::scoped_lock lock(one_at_a_time);
  const std::string before = own_cgroup();
  add(::getpid());
  const auto back = [&] { write_to(procs_of(before), std::to_string(::getpid())); };
  try {
    job();
  } catch (...) {
    back();
    throw;
  }
  back();
}

void TestCgroup::add(pid_t pid) const { write_to(procs_of(path_), std::to_string(pid)); }

void TestCgroup::remove() {
  if (path_.empty() || !std::filesystem::exists(directory())) return;
  const bool gone = eventually([&] {
    std::ifstream procs(directory() / "cgroup.procs");
    for (pid_t pid = 0; procs >> pid;) ::kill(pid, SIGKILL);
    return ::rmdir(directory().c_str()) == 0;
  });
  if (!gone) throw std::runtime_error("remove cgroup " + path_);
}

void TestCgroup::renew() {
  remove();
  make();
}

std::unique_ptr<Child> idle_process(const TestCgroup& cgroup, const Namespace& ns) {
  auto child =
      std::make_unique<Child>("/bin/sh", std::vector<std::string>{"sh", "-c",
                                                                  "echo $$ > " + procs_of(cgroup.path()) +
                                                                      " && exec nsenter --net=/run/netns/" + ns.name() +
                                                                      " sh -c 'echo there; exec sleep 1000'"});
  if (child->read_line() != "there") throw std::runtime_error("no process in " + cgroup.path());
  return child;
}

Outcome shell_in(const TestCgroup& cgroup, const Namespace& ns, const std::string& text) {
  return try_shell("sh -c 'echo $$ > " + procs_of(cgroup.path()) + " && exec nsenter --net=/run/netns/" + ns.name() +
                   " sh -c \"$1\"' sh '" + text + "'");
}

}  // namespace chaos::test
