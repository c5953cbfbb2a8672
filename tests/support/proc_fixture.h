// ProcFixture: a small tree in the form of /proc for code that takes the root of one. Needs no privilege.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/temp_dir.h"

namespace chaos::test {

class ProcFixture {
 public:
  [[nodiscard]] const std::filesystem::path& root() const { return directory_.path(); }

  void add_process(pid_t pid, std::string_view comm, pid_t parent, const std::vector<std::string>& arguments = {},
                   char state = 'S') const {
    std::string cmdline;
    for (const std::string& argument : arguments) cmdline += argument + '\0';
    write(pid, "comm", std::string(comm) + "\n");
    write(pid, "cmdline", cmdline);
    write(pid, "stat",
          std::to_string(pid) + " (" + std::string(comm) + ") " + state + " " + std::to_string(parent) + " 1 1 0 -1\n");
    std::filesystem::create_directories(directory(pid) / "fd");
  }
  void add_socket(pid_t pid, int fd, std::uint64_t inode) const {
    link(pid, "fd/" + std::to_string(fd), "socket:[" + std::to_string(inode) + "]");
  }
  void link(pid_t pid, const std::string& relative, const std::string& target) const {
    std::filesystem::create_directories((directory(pid) / relative).parent_path());
    std::filesystem::create_symlink(target, directory(pid) / relative);
  }
  void write(pid_t pid, const std::string& relative, std::string_view text) const {
    directory_.write(std::to_string(pid) + "/" + relative, text);
  }
  [[nodiscard]] std::filesystem::path directory(pid_t pid) const { return root() / std::to_string(pid); }
  [[nodiscard]] const TempDir& files() const { return directory_; }

 private:
  TempDir directory_;
};

}  // namespace chaos::test
