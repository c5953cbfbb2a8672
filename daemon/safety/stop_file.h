// StopFile: the emergency stop that needs nothing but a shell: `touch /run/chaosd/STOP`. Loop thread.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

class StopFile {
 public:
  /// Calls `pulled` whenever the file appears from now on (inotify on its directory, which must exist). Error:
  /// kInternal.
  static Result<std::unique_ptr<StopFile>> watch(EventLoop& loop, std::filesystem::path file,
                                                 std::function<void()> pulled);
  StopFile(const StopFile&) = delete;
  StopFile& operator=(const StopFile&) = delete;

  [[nodiscard]] bool exists() const;
  /// Error: kInternal. None if there is no such file.
  Status remove() const;

 private:
  StopFile(std::filesystem::path file, std::function<void()> pulled)
      : file_(std::move(file)), pulled_(std::move(pulled)) {}
  void drain();

  std::filesystem::path file_;
  std::function<void()> pulled_;
  UniqueFd inotify_;
  EventLoop::SourcePtr source_;
};

}  // namespace chaos
