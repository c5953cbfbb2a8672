#include "safety/stop_file.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <system_error>

namespace chaos {

Result<std::unique_ptr<StopFile>> StopFile::watch(EventLoop& loop, std::filesystem::path file,
                                                  std::function<void()> pulled) {
  std::unique_ptr<StopFile> stop(new StopFile(std::move(file), std::move(pulled)));
  const std::string directory = stop->file_.parent_path().string();
  stop->inotify_ = UniqueFd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!stop->inotify_.valid() ||
      inotify_add_watch(stop->inotify_.get(), directory.c_str(), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
    return fail_errno("watch " + directory + " for " + stop->file_.filename().string());
  }
  auto source = loop.add_io(stop->inotify_.get(), EPOLLIN, [raw = stop.get()](std::uint32_t) { raw->drain(); });
  if (!source) return std::unexpected(source.error());
  stop->source_ = std::move(*source);
  return stop;
}

bool StopFile::exists() const {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(file_, error);
  // What cannot be looked at counts as there: in doubt nothing starts.
  return status.type() != std::filesystem::file_type::not_found;
}

Status StopFile::remove() const {
  if (::unlink(file_.c_str()) == 0 || errno == ENOENT) return {};
  return fail_errno("remove " + file_.string());
}

void StopFile::drain() {
  std::array<char, 4096> events;
  while (::read(inotify_.get(), events.data(), events.size()) > 0) {
  }
  // Which name it was does not matter, and a lost event would not either: the file is looked for.
  if (exists()) pulled_();
}

}  // namespace chaos
