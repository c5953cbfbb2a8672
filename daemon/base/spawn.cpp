#include "base/spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace chaos {
namespace {

constexpr int kFirst = 3;
/// Out of the range that the child gives meanings to, so that no dup2 there overwrites another's source.
constexpr int kLifted = 16;

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  void move(int from, int to) { posix_spawn_file_actions_adddup2(&actions_, from, to); }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

Result<pid_t> spawn_self(std::vector<std::string> words, const std::vector<int>& fds) {
  FileActions actions;
  std::vector<UniqueFd> lifted;
  for (const int fd : fds) {
    UniqueFd& high = lifted.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kLifted));
    if (!high.valid()) return fail_errno("duplicate a descriptor");
    actions.move(high.get(), kFirst + static_cast<int>(lifted.size()) - 1);
  }
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int err = ::posix_spawn(&pid, "/proc/self/exe", actions.get(), nullptr, arguments.data(), environ);
  if (err != 0) return fail_errno("start " + words.front(), err);
  return pid;
}

}  // namespace chaos
