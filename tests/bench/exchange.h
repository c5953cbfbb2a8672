// Requests and answers over TCP between two hosts, as a small file server gives them: what passes a machine in packets
// while it does other work as well. Two threads on one CPU, all whose time they have. Needs root; throws
// std::runtime_error.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "support/net.h"
#include "support/temp_dir.h"

namespace chaos::bench {

class Exchange {
 public:
  /// The server's thread runs from now on.
  explicit Exchange(const test::VethPair& pair);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange();

  /// From now on the server looks into a file for each request, so often that about `packets_per_second` pass, as fast
  /// as all that goes; measured now, some 0.7 s.
  void slow_down_to(double packets_per_second);

  struct Turn {
    double packets = 0;      ///< that either host's TCP has sent
    double seconds = 0;      ///< of the wall
    double cpu_seconds = 0;  ///< of both threads
  };
  /// Requests for so long, by the calling thread, which from then on runs on the server's CPU.
  [[nodiscard]] Turn run(double seconds);
  [[nodiscard]] unsigned looks() const { return looks_; }

 private:
  void serve();
  void look() const;
  [[nodiscard]] double packets() const;

  test::TempDir directory_;
  std::string file_;
  UniqueFd client_;
  UniqueFd server_;
  std::atomic<unsigned> looks_{0};
  std::thread thread_;
};

}  // namespace chaos::bench
