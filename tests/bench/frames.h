// Frames for BPF_PROG_TEST_RUN: Ethernet with IPv4 or IPv6 and UDP or TCP, 10.77.0.1 to 10.77.0.2 or fd77::1 to
// fd77::2. Checksums are left 0: nothing on the way reads them. Pure functions.
#pragma once

#include <cstdint>
#include <vector>

namespace chaos::bench {

struct FrameSpec {
  bool ipv6 = false;
  bool tcp = false;
  std::uint16_t source_port = 40000;
  std::uint16_t destination_port = 9;
};

[[nodiscard]] std::vector<std::uint8_t> make_frame(const FrameSpec& spec);

}  // namespace chaos::bench
