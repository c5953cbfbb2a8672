#include "line/frame.h"

#include <algorithm>
#include <cstring>

namespace chaos {
namespace {

constexpr std::size_t kEthernet = 14;
constexpr std::size_t kTag = 4;
constexpr std::size_t kAddresses = 12;
static_assert(sizeof(chaos_line_header) >= kTag + sizeof(virtio_net_hdr));
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;

std::uint16_t be16(std::span<const unsigned char> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

/// Where the network header begins, and of which protocol it is.
std::pair<std::size_t, std::uint16_t> network_of(std::span<const unsigned char> frame) {
  std::size_t at = kEthernet;
  std::uint16_t type = be16(frame, 12);
  while ((type == 0x8100 || type == 0x88a8) && at + kTag <= frame.size()) {
    type = be16(frame, at + 2);
    at += kTag;
  }
  return {at, type};
}

struct Covered {
  std::size_t from = 0;       ///< the transport header
  std::uint8_t protocol = 0;  ///< 0: there is none, or not its beginning
};

/// What a transport checksum covers.
Covered covered_by_checksum(std::span<const unsigned char> frame) {
  const auto [at, type] = network_of(frame);
  if (type == 0x0800 && at + 20 <= frame.size()) {
    const bool first = (be16(frame, at + 6) & 0x1fff) == 0;
    return {at + std::size_t{frame[at] & 0xfU} * 4, first ? frame[at + 9] : std::uint8_t{0}};
  }
  if (type == 0x86dd && at + 40 <= frame.size()) return {at + 40, frame[at + 6]};
  return {at, 0};
}

/// Looked at before the checksum is: a length that cannot be, or a checksum that means "none".
bool decides_before_checksum(std::uint8_t protocol, std::size_t offset) {
  return (protocol == kUdp && offset >= 4 && offset < 8) || (protocol == kTcp && offset == 12);
}

}  // namespace

std::optional<Block> FrameStore::take(std::size_t size) {
  const auto fits = std::ranges::lower_bound(kSizes, size);
  if (fits == kSizes.end()) return std::nullopt;
  if (memory_.held.load(std::memory_order_relaxed) + *fits > memory_.limit) return std::nullopt;
  memory_.held += *fits;
  held_ += *fits;
  auto& spare = spare_[static_cast<std::size_t>(fits - kSizes.begin())];
  if (spare.empty()) return Block{std::make_unique_for_overwrite<unsigned char[]>(*fits), *fits};
  Block block{std::move(spare.back()), *fits};
  spare.pop_back();
  return block;
}

void FrameStore::give_back(Block block) {
  if (!block.bytes) return;
  memory_.held -= block.size;
  held_ -= block.size;
  auto& spare = spare_[static_cast<std::size_t>(std::ranges::find(kSizes, block.size) - kSizes.begin())];
  if (spare.size() < kSpare) spare.push_back(std::move(block.bytes));
}

void Frame::place_tag() {
  if (header.tagged == 0) return;
  // In front of the frame lay our header, which is longer than what goes there now.
  begin -= kTag;
  unsigned char* at = block.bytes.get() + begin;
  std::memmove(at, at + kTag, kAddresses);
  std::memcpy(at + kAddresses, tag.data(), kTag);
  header.tagged = 0;
}

std::span<const unsigned char> Frame::write_image() const {
  unsigned char* at = block.bytes.get() + begin - sizeof offload;
  std::memcpy(at, &offload, sizeof offload);
  return {at, block.bytes.get() + end};
}

std::uint64_t Frame::wire_bytes() const {
  const std::uint64_t all = end - begin;
  if (offload.gso_type == VIRTIO_NET_HDR_GSO_NONE || offload.gso_size == 0) return all;
  // The headers that every segment repeats: what lies before the payload.
  const auto [at, protocol] = covered_by_checksum(bytes());
  const bool tcp = protocol == kTcp && at + 12 < bytes().size();
  const std::size_t transport = tcp ? static_cast<std::size_t>(bytes()[at + 12] >> 4) * 4 : 8;
  const std::uint64_t headers = at + transport;
  if (all <= headers) return all;
  const std::uint64_t segments = (all - headers + offload.gso_size - 1) / offload.gso_size;
  return all + (segments - 1) * headers;
}

bool parse_frame(std::span<const unsigned char> read, Frame& frame) {
  constexpr std::size_t kBefore = sizeof(virtio_net_hdr);
  if (read.size() < kBefore + sizeof(chaos_line_header) + kEthernet) return false;
  std::memcpy(&frame.offload, read.data(), kBefore);
  auto* header = reinterpret_cast<unsigned char*>(&frame.header);
  std::memcpy(header, read.data() + kBefore, CHAOS_LINE_TAG_AT);
  if (frame.header.magic != CHAOS_LINE_MAGIC) return false;
  std::size_t at = kBefore + CHAOS_LINE_TAG_AT;
  // The part of `header` that says whether there is a tag comes first.
  if (frame.header.tagged != 0) {
    std::memcpy(frame.tag.data(), read.data() + at, kTag);
    at += kTag;
  }
  const std::size_t rest = sizeof(chaos_line_header) - CHAOS_LINE_TAG_AT;
  if (read.size() < at + rest + kEthernet) return false;
  std::memcpy(header + CHAOS_LINE_TAG_AT, read.data() + at, rest);
  frame.begin = at + rest;
  frame.end = read.size();
  // Offsets count from the header that we have taken off.
  const auto less = [](__virtio16& offset) {
    offset = static_cast<__virtio16>(offset - std::min<std::size_t>(offset, sizeof(chaos_line_header)));
  };
  if ((frame.offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) less(frame.offload.csum_start);
  if (frame.offload.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
    less(frame.offload.hdr_len);
    frame.offload.hdr_len = std::min<__virtio16>(
        frame.offload.hdr_len, static_cast<__virtio16>(std::min<std::size_t>(frame.end - frame.begin, UINT16_MAX)));
  } else {
    frame.offload.hdr_len = 0;
  }
  return true;
}

void flip_bit(std::span<unsigned char> ethernet, std::uint64_t hash) {
  auto [from, protocol] = covered_by_checksum(ethernet);
  if (from >= ethernet.size()) from = std::min(kEthernet, ethernet.size() - 1);
  std::size_t at = from + (hash >> 3) % (ethernet.size() - from);
  if (decides_before_checksum(protocol, at - from)) at = from;
  ethernet[at] = static_cast<unsigned char>(ethernet[at] ^ (1U << (hash & 7)));
}

}  // namespace chaos
