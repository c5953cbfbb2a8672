#include "wait/late_file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string>

namespace chaos {
namespace {

constexpr std::uint32_t kMode = S_IFREG | 0400;
constexpr std::uint64_t kForGood = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kPageBytes = 4096;

fuse_attr attributes(std::size_t pages) {
  fuse_attr attr{};
  attr.ino = FUSE_ROOT_ID;
  attr.size = pages * kPageBytes;
  attr.mode = kMode;
  attr.nlink = 1;
  attr.blksize = kPageBytes;
  return attr;
}

Status set(int context, const char* key, const std::string& value) {
  if (::fsconfig(context, FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0) return {};
  return fail_errno(std::string("set ") + key + " of the file system of waits");
}

}  // namespace

Result<LateFile> LateFile::create(std::size_t pages) {
  // First: it makes the kernel load its module, which has the device.
  const UniqueFd context(::fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context.valid()) return fail_errno("make the file system of waits");
  UniqueFd connection(::open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!connection.valid()) return fail_errno("open /dev/fuse");
  LateFile file(std::move(connection), pages);
  if (Status status = file.mount(context.get()); !status) return std::unexpected(status.error());
  return file;
}

/// A mount that is in no namespace; its root is the file.
Status LateFile::mount(int context) {
  Status status = set(context, "source", "chaosd-waits");
  if (status) status = set(context, "fd", std::to_string(connection_.get()));
  if (status) status = set(context, "rootmode", "100400");
  if (status) status = set(context, "user_id", "0");
  if (status) status = set(context, "group_id", "0");
  if (!status) return status;
  if (::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return fail_errno("make the file system of waits");
  }
  mount_.reset(::fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  return mount_.valid() ? Status() : fail_errno("mount the file system of waits");
}

Result<std::optional<LateFile::Request>> LateFile::next() {
  for (;;) {
    const ssize_t got = ::read(connection_.get(), buffer_.data(), buffer_.size());
    if (got < 0) {
      // ENOENT: the request has been taken back meanwhile.
      if (errno == EINTR || errno == ENOENT) continue;
      if (errno == EAGAIN) return std::optional<Request>();
      return fail(Errc::kUnavailable, "the connection of waits has ended: " + errno_name(errno));
    }
    if (auto request = serve(static_cast<std::size_t>(got))) return request;
  }
}

std::optional<LateFile::Request> LateFile::serve(std::size_t bytes) {
  if (bytes < sizeof(fuse_in_header)) return std::nullopt;
  fuse_in_header header{};
  std::memcpy(&header, buffer_.data(), sizeof(header));
  const char* body = buffer_.data() + sizeof(header);
  const auto read_body = [&](auto& into) {
    std::memset(&into, 0, sizeof(into));
    std::memcpy(&into, body, std::min(sizeof(into), bytes - sizeof(header)));
  };
  switch (header.opcode) {
    case FUSE_INIT: {
      fuse_init_in in{};
      read_body(in);
      fuse_init_out out{};
      out.major = FUSE_KERNEL_VERSION;
      out.minor = std::min<std::uint32_t>(in.minor, FUSE_KERNEL_MINOR_VERSION);
      out.max_write = kPageBytes;
      out.time_gran = 1;
      send(header.unique, 0, &out, sizeof(out));
      return std::nullopt;
    }
    case FUSE_GETATTR: {
      const fuse_attr_out out{.attr_valid = kForGood, .attr_valid_nsec = 0, .dummy = 0, .attr = attributes(pages_)};
      send(header.unique, 0, &out, sizeof(out));
      return std::nullopt;
    }
    case FUSE_OPEN: {
      const fuse_open_out out{.fh = 0, .open_flags = FOPEN_KEEP_CACHE, .padding = 0};
      send(header.unique, 0, &out, sizeof(out));
      return std::nullopt;
    }
    case FUSE_READ: {
      fuse_read_in in{};
      read_body(in);
      return Request{.what = Request::What::kPage,
                     .id = header.unique,
                     .page = in.offset / kPageBytes,
                     .thread = static_cast<pid_t>(header.pid)};
    }
    case FUSE_INTERRUPT: {
      fuse_interrupt_in in{};
      read_body(in);
      return Request{.what = Request::What::kSignalled, .id = in.unique, .page = 0, .thread = 0};
    }
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
      return std::nullopt;  // is not answered
    case FUSE_FLUSH:
    case FUSE_RELEASE:
      send(header.unique, 0, nullptr, 0);
      return std::nullopt;
    default:
      send(header.unique, ENOSYS, nullptr, 0);
      return std::nullopt;
  }
}

void LateFile::send(std::uint64_t id, int error, const void* data, std::size_t size) {
  fuse_out_header header{};
  header.len = static_cast<std::uint32_t>(sizeof(header) + size);
  header.error = -error;
  header.unique = id;
  const std::array<iovec, 2> parts{{{&header, sizeof(header)}, {const_cast<void*>(data), size}}};
  (void)!::writev(connection_.get(), parts.data(), size == 0 ? 1 : 2);
}

void LateFile::answer(std::uint64_t id) { send(id, EIO, nullptr, 0); }

}  // namespace chaos
