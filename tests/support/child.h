// Child: a program that runs beside a test and ends with it at the latest. Its stdin is a pipe that stays open as long
// as this object, its stdout can be read by lines.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace chaos::test {

class Child {
 public:
  /// `arguments` begin with argv[0], which may be anything.
  Child(const std::string& program, std::vector<std::string> arguments) {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe2(in.data(), O_CLOEXEC) != 0) return;
    const UniqueFd child_in(in[0]);
    input_.reset(in[1]);
    if (::pipe2(out.data(), O_CLOEXEC) != 0) return;
    output_.reset(out[0]);
    const UniqueFd child_out(out[1]);

    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, child_in.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, child_out.get(), STDOUT_FILENO);
    if (::posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    ::posix_spawn_file_actions_destroy(&actions);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    input_.reset();
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  /// -1 if it could not be started.
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const {
    siginfo_t info{};
    return pid_ > 0 && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
  }
  /// To its stdin.
  void write_line(const std::string& line) const {
    const std::string text = line + "\n";
    if (::write(input_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
  }
  /// Until it ends by itself: its exit status, -1 if a signal ended it.
  [[nodiscard]] int wait() {
    int status = 0;
    if (pid_ <= 0 || ::waitpid(pid_, &status, 0) != pid_) return -1;
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  /// Waits for it; without the line's end. Empty at end of file.
  [[nodiscard]] std::string read_line() const {
    std::string line;
    char next = 0;
    while (::read(output_.get(), &next, 1) == 1 && next != '\n') line += next;
    return line;
  }

 private:
  UniqueFd input_;
  UniqueFd output_;
  pid_t pid_ = -1;
};

}  // namespace chaos::test
