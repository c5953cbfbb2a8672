// Frame: one frame in a delay line, as it was read from the TAP, and what it needs to go on. FrameStore: where frames
// lie, in blocks of a few sizes, within a bound that all lines share. One thread each.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bpf/chaos_abi.h"
#include "kernel/virtio_net.h"

namespace chaos {

/// Bytes that lines hold, all together.
struct LineMemory {
  std::atomic<std::size_t> held{0};
  std::size_t limit = std::size_t{256} << 20;
};

struct Block {
  std::unique_ptr<unsigned char[]> bytes;
  std::size_t size = 0;
};

class FrameStore {
 public:
  explicit FrameStore(LineMemory& memory) : memory_(memory) {}
  ~FrameStore() { memory_.held -= held_; }
  FrameStore(const FrameStore&) = delete;
  FrameStore& operator=(const FrameStore&) = delete;

  /// At least `size` bytes; empty when the bound is reached.
  std::optional<Block> take(std::size_t size);
  void give_back(Block block);

 private:
  static constexpr std::array<std::size_t, 4> kSizes{256, 2048, 16384, 72 * 1024};
  static constexpr std::size_t kSpare = 512;  ///< blocks of each size that are kept for the next frames
  LineMemory& memory_;
  std::size_t held_ = 0;
  std::array<std::vector<std::unique_ptr<unsigned char[]>>, kSizes.size()> spare_;
};

struct Frame {
  virtio_net_hdr offload{};
  chaos_line_header header{};
  std::array<unsigned char, 4> tag{};  ///< header.tagged: belongs at offset 12 of the frame, see place_tag()
  Block block;
  std::size_t begin = 0;  ///< of the Ethernet header in the block
  std::size_t end = 0;
  std::chrono::nanoseconds requested{0};
  unsigned copies = 1;

  [[nodiscard]] std::span<unsigned char> bytes() const { return {block.bytes.get() + begin, end - begin}; }
  /// Puts the tag where it is on the wire. Once the block is there.
  void place_tag();
  /// Virtio header and frame, one behind the other, in the block: what goes to the TAP.
  [[nodiscard]] std::span<const unsigned char> write_image() const;
  /// What it would be on the wire, in all its segments, without preamble and checksum.
  [[nodiscard]] std::uint64_t wire_bytes() const;
};

/// Takes the first `length` bytes of `read` apart: a virtio header, our header, a frame. False: it is not one of ours.
/// Fills in all but the block.
[[nodiscard]] bool parse_frame(std::span<const unsigned char> read, Frame& frame);

/// Flips one bit of what a transport checksum covers; of anything behind the Ethernet header where there is none.
void flip_bit(std::span<unsigned char> ethernet, std::uint64_t hash);

}  // namespace chaos
