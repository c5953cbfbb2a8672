#include "support/loads.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "support/halted.h"

namespace chaos::test {
namespace {

/// "" if it is gone; a process may go while its file is read, which no stream of the library's tells from a defect.
std::string text_of(const std::filesystem::path& file) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t size = 0; (size = ::read(fd.get(), part.data(), part.size())) > 0;) {
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  return text;
}

/// The number behind a name at the beginning of a line.
double number_in(const std::filesystem::path& file, const std::string& name) {
  std::istringstream text(text_of(file));
  std::string word;
  for (std::string line; std::getline(text, line);) {
    std::istringstream fields(line);
    double value = 0;
    if (fields >> word >> value && word == name) return value;
  }
  throw std::runtime_error("no " + name + " in " + file.string());
}

/// In a child that was forked: nothing but system calls. Ends with its orders.
[[noreturn]] void hold_as_told(int orders, int answers) {
  void* held = nullptr;
  std::size_t size = 0;
  for (std::size_t wanted = 0; ::read(orders, &wanted, sizeof wanted) == sizeof wanted; size = wanted) {
    if (wanted == 0) {
      if (size > 0) ::munmap(held, size);
    } else {
      // What it has it keeps: nobody else has it meanwhile.
      held = size == 0 ? ::mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                       : ::mremap(held, size, wanted, MREMAP_MAYMOVE);
      if (held == MAP_FAILED) ::_exit(1);
      if (wanted > size) std::memset(static_cast<char*>(held) + size, 'x', wanted - size);
    }
    if (::write(answers, "+", 1) != 1) ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

std::set<pid_t> load_workers(const std::string& instance) {
  std::set<pid_t> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string arguments = text_of(entry.path() / "cmdline");
    const std::string wanted = std::string("load-worker") + '\0' + "--instance" + '\0' + instance + '\0';
    const pid_t pid = std::stoi(name);
    if (arguments.find(wanted) != std::string::npos && exists(pid)) found.insert(pid);
  }
  return found;
}

HostCpu host_cpu() {
  std::ifstream stat("/proc/stat");
  std::string label;
  stat >> label;
  HostCpu cpu;
  for (int i = 0; i < 8; ++i) {
    double ticks = 0;
    stat >> ticks;
    cpu.all += ticks;
    if (i != 3 && i != 4) cpu.used += ticks;
  }
  return cpu;
}

std::chrono::microseconds cgroup_cpu(const TestCgroup& cgroup) {
  return std::chrono::microseconds(static_cast<std::int64_t>(number_in(cgroup.directory() / "cpu.stat", "usage_usec")));
}

double meminfo(const std::string& name) { return 1024 * number_in("/proc/meminfo", name + ":"); }

double memory_used(const LimitedCgroup& cgroup) {
  const std::filesystem::path stat = cgroup.directory() / "memory.stat";
  if (cgroup.v2()) {
    return std::stod(cgroup.value("memory.current")) - number_in(stat, "inactive_file") -
           number_in(stat, "active_file") - number_in(stat, "slab_reclaimable");
  }
  return std::stod(cgroup.value("memory.usage_in_bytes")) - number_in(stat, "total_inactive_file") -
         number_in(stat, "total_active_file");
}

void limit_memory(const LimitedCgroup& cgroup, std::uint64_t bytes) {
  cgroup.set(cgroup.v2() ? "memory.max" : "memory.limit_in_bytes", std::to_string(bytes));
}

MemoryUser::MemoryUser(const LimitedCgroup& cgroup) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0) throw std::runtime_error("no pipes");
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("no process");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    hold_as_told(in[0], out[1]);
  }
  orders_.reset(in[1]);
  answers_.reset(out[0]);
  ::close(in[0]);
  ::close(out[1]);
  cgroup.add(pid_);
}

MemoryUser::~MemoryUser() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void MemoryUser::hold(std::size_t bytes) const {
  char done = 0;
  if (::write(orders_.get(), &bytes, sizeof bytes) != sizeof bytes || ::read(answers_.get(), &done, 1) != 1) {
    throw std::runtime_error("the memory was not to be had");
  }
}

}  // namespace chaos::test
