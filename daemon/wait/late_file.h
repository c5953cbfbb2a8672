// LateFile: a file whose pages come when we say so: the one file of a FUSE file system that is mounted nowhere. What it
// knows of FUSE are the seven requests that one open, mapped file makes (linux/fuse.h, Documentation/filesystems/fuse);
// no library, for the process that serves it must not allocate, lock or start anything while callers wait.
//
// Closing the connection, or the end of the process that has it, ends all requests at once. Not synchronized; no call
// blocks. Needs CAP_SYS_ADMIN.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace chaos {

class LateFile {
 public:
  /// Of so many pages. Errors: kUnsupported, kInternal.
  static Result<LateFile> create(std::size_t pages);

  /// Readable when next() has something.
  [[nodiscard]] int fd() const { return connection_.get(); }
  /// The file, to be opened by way of /proc/self/fd while the connection is served by another process. Whoever has
  /// opened it may close this.
  [[nodiscard]] int mount_fd() const { return mount_.get(); }
  void close_mount() { mount_.reset(); }

  struct Request {
    enum class What { kPage, kSignalled } what = What::kPage;
    std::uint64_t id = 0;  ///< kSignalled: of the one that is meant
    std::size_t page = 0;
    pid_t thread = 0;  ///< who waits, in this process's namespace of process ids; 0: unknown there
  };
  /// Takes the next request and answers what is no request for a page by itself. Empty: there is nothing more for now.
  /// Error: kUnavailable once the connection has ended.
  Result<std::optional<Request>> next();
  /// Ends a request for a page: there is none, ask again next time.
  void answer(std::uint64_t id);

 private:
  LateFile(UniqueFd connection, std::size_t pages) : connection_(std::move(connection)), pages_(pages) {}
  Status mount(int context);
  void send(std::uint64_t id, int error, const void* data, std::size_t size);
  std::optional<Request> serve(std::size_t bytes);

  static constexpr std::size_t kBufferBytes = 64 * 1024;  ///< FUSE_MIN_READ_BUFFER at least, and what a write may have
  UniqueFd connection_;
  UniqueFd mount_;
  std::size_t pages_;
  alignas(8) std::array<char, kBufferBytes> buffer_{};
};

}  // namespace chaos
