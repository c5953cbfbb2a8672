// WaitProcess: chaosd's side of one wait server (wait/wait_server.h) with its holder: starts them, tells them to let
// everybody go, ends them. start() and end(): worker thread; release() and alive(): any.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fault/load_process.h"
#include "kernel/wait_maps.h"
#include "wait/wait_order.h"

namespace chaos {

class WaitProcess {
 public:
  /// Waits can begin when this returns. Blocks for some 10 ms, 5 s at the longest. `ground` and `maps` must outlive it.
  /// Errors: the server's own; kUnavailable (no answer); kInternal.
  static Result<std::unique_ptr<WaitProcess>> start(const LoadGround& ground, const WaitMaps& maps,
                                                    const WaitOrder& order);
  ~WaitProcess() { end(); }
  WaitProcess(const WaitProcess&) = delete;
  WaitProcess& operator=(const WaitProcess&) = delete;

  /// All who wait go on, now. Never blocks.
  void release();
  [[nodiscard]] bool alive() const;
  /// Ends both processes, and so all waits, and waits until they are gone.
  void end();

  [[nodiscard]] pid_t server() const { return server_; }
  [[nodiscard]] pid_t holder() const { return holder_; }
  /// Where the holder has the file.
  [[nodiscard]] std::uint64_t address() const { return address_; }

 private:
  explicit WaitProcess(const WaitMaps& maps) : maps_(maps) {}
  Status spawn(const std::vector<std::string>& words, const std::vector<int>& fds);
  Status await_ready();

  const WaitMaps& maps_;
  std::thread starter_;  ///< what the server's life hangs on
  std::atomic<bool> ended_{false};
  UniqueFd socket_;
  UniqueFd server_pidfd_;
  UniqueFd holder_pidfd_;
  pid_t server_ = 0;
  pid_t holder_ = 0;
  std::uint64_t address_ = 0;
};

}  // namespace chaos
