// Tap: a TAP device that whole frames go through user space by, with segmentation and checksums left as they are. Made
// for one network namespace and gone with the object, with the process, or with that namespace, whichever ends first:
// the file belongs to the initial namespace, so that it does not keep a deleted one alive. It carries no address, and
// asks for none. Needs CAP_NET_ADMIN and /dev/net/tun. Worker thread; reading and writing: one thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kernel/netns.h"
#include "kernel/virtio_net.h"

namespace chaos {

/// Frames that wait for user space, at most: what a burst of some ms brings.
constexpr unsigned kTapQueue = 16384;

class Tap {
 public:
  /// Down, in `netns`. Errors: kUnsupported (no /dev/net/tun), kRefused (the name is taken), kInternal.
  static Result<Tap> create(const std::string& name, const Netns& netns);

  /// From here on frames come. In its namespace.
  Status bring_up() const;
  /// Whether what comes may stand for many wire packets and lack its checksum. Any time.
  Status set_offloads(bool offloads) const;

  /// Non-blocking. Each read and each write is one frame behind a virtio_net_hdr.
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// In its namespace.
  [[nodiscard]] unsigned ifindex() const { return ifindex_; }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  Tap(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  UniqueFd fd_;
  std::string name_;
  unsigned ifindex_ = 0;
};

}  // namespace chaos
