// Frames as a TAP delivers them, and what becomes of their bytes: taking apart, flipping, and the bound of memory.
#include "line/frame.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <numeric>
#include <vector>

#include "line/histogram.h"

namespace chaos {
namespace {

using Bytes = std::vector<unsigned char>;

/// A frame of IPv4 and UDP or TCP with `payload` bytes.
Bytes ethernet_frame(std::uint8_t protocol, std::size_t payload) {
  Bytes frame(14 + 20 + (protocol == 6 ? 20 : 8) + payload);
  std::iota(frame.begin(), frame.end(), std::uint8_t{1});
  frame[12] = 0x08;
  frame[13] = 0x00;
  frame[14] = 0x45;
  frame[20] = 0;
  frame[21] = 0;
  frame[23] = protocol;
  if (protocol == 6) frame[14 + 20 + 12] = 0x50;
  return frame;
}

/// What is read for it.
Bytes as_read(const Bytes& frame, chaos_line_header header, const Bytes& tag = {}, virtio_net_hdr offload = {}) {
  Bytes read(sizeof offload + sizeof header);
  header.magic = CHAOS_LINE_MAGIC;
  header.tagged = tag.empty() ? 0 : 1;
  std::memcpy(read.data(), &offload, sizeof offload);
  std::memcpy(read.data() + sizeof offload, &header, sizeof header);
  read.insert(read.begin() + sizeof offload + CHAOS_LINE_TAG_AT, tag.begin(), tag.end());
  read.insert(read.end(), frame.begin(), frame.end());
  return read;
}

chaos_line_header some_header() {
  chaos_line_header header{};
  header.ifindex = 7;
  header.direction = CHAOS_INGRESS;
  header.mark = 0xabcd;
  header.faults = 0b1010;
  header.flow = 99;
  header.taken_ns = 123456789;
  header.priority = 6;
  header.queue = 2;
  header.number = 42;
  return header;
}

TEST(Frame, IsTakenApartWithAndWithoutATag) {
  const Bytes sent = ethernet_frame(17, 100);
  for (const Bytes& tag : {Bytes{}, Bytes{0x81, 0x00, 0x00, 0x64}}) {
    const Bytes read = as_read(sent, some_header(), tag);
    Frame frame;
    ASSERT_TRUE(parse_frame(read, frame));
    EXPECT_EQ(frame.header.mark, 0xabcdU);
    EXPECT_EQ(frame.header.faults, 0b1010U);
    EXPECT_EQ(frame.header.taken_ns, 123456789U);
    EXPECT_EQ(frame.header.number, 42U);
    EXPECT_EQ(Bytes(read.begin() + static_cast<std::ptrdiff_t>(frame.begin),
                    read.begin() + static_cast<std::ptrdiff_t>(frame.end)),
              sent);
    if (!tag.empty()) {
      EXPECT_EQ(Bytes(frame.tag.begin(), frame.tag.end()), tag);
    }
  }
}

TEST(Frame, WhatIsWrittenHasItsHeaderAndItsTagInPlaceEachTime) {
  const Bytes sent = ethernet_frame(17, 30);
  for (const Bytes& tag : {Bytes{}, Bytes{0x81, 0x00, 0x60, 0x05}}) {
    const Bytes read = as_read(sent, some_header(), tag);
    Frame frame;
    ASSERT_TRUE(parse_frame(read, frame));
    frame.block.bytes = std::make_unique<unsigned char[]>(read.size());
    std::memcpy(frame.block.bytes.get(), read.data(), read.size());
    frame.place_tag();
    Bytes expected(sizeof(virtio_net_hdr));
    expected.insert(expected.end(), sent.begin(), sent.begin() + 12);
    expected.insert(expected.end(), tag.begin(), tag.end());
    expected.insert(expected.end(), sent.begin() + 12, sent.end());
    for (int copy = 0; copy < 2; ++copy) {
      const auto image = frame.write_image();
      EXPECT_EQ(Bytes(image.begin(), image.end()), expected) << copy;
    }
  }
}

TEST(Frame, OffsetsCountFromTheFrame) {
  virtio_net_hdr offload{};
  offload.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  offload.gso_size = 1448;
  offload.csum_start = sizeof(chaos_line_header) + 34;
  offload.csum_offset = 16;
  offload.hdr_len = sizeof(chaos_line_header) + 54;
  Frame frame;
  ASSERT_TRUE(parse_frame(as_read(ethernet_frame(6, 14480), some_header(), {}, offload), frame));
  EXPECT_EQ(frame.offload.csum_start, 34);
  EXPECT_EQ(frame.offload.csum_offset, 16);
  EXPECT_EQ(frame.offload.hdr_len, 54);
}

TEST(Frame, WireBytesCountTheHeadersOfEverySegment) {
  virtio_net_hdr offload{};
  offload.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  offload.gso_size = 1448;
  Bytes read = as_read(ethernet_frame(6, 14480), some_header(), {}, offload);
  Frame frame;
  ASSERT_TRUE(parse_frame(read, frame));
  frame.block.bytes = std::make_unique<unsigned char[]>(read.size());
  std::memcpy(frame.block.bytes.get(), read.data(), read.size());
  EXPECT_EQ(frame.wire_bytes(), 14480U + 10U * 54U);
  frame.offload.gso_type = VIRTIO_NET_HDR_GSO_NONE;
  EXPECT_EQ(frame.wire_bytes(), 14480U + 54U);
}

TEST(Frame, WhatIsNotOursOrCutShortIsNone) {
  Frame frame;
  Bytes read = as_read(ethernet_frame(17, 10), some_header());
  for (std::size_t length = 0; length < sizeof(virtio_net_hdr) + sizeof(chaos_line_header) + 14; ++length) {
    EXPECT_FALSE(parse_frame(std::span(read).first(length), frame)) << length;
  }
  read[sizeof(virtio_net_hdr)] ^= 1;
  EXPECT_FALSE(parse_frame(read, frame));
}

TEST(Frame, OneBitIsFlippedOfWhatTheChecksumCovers) {
  for (const std::uint8_t protocol : {std::uint8_t{6}, std::uint8_t{17}}) {
    const Bytes before = ethernet_frame(protocol, 40);
    for (std::uint64_t hash = 0; hash < 5000; ++hash) {
      Bytes after = before;
      flip_bit(after, hash * 0x9e3779b97f4a7c15ULL);
      int bits = 0;
      for (std::size_t i = 0; i < before.size(); ++i) {
        const int flipped = std::popcount(static_cast<unsigned>(before[i] ^ after[i]));
        bits += flipped;
        if (flipped == 0) continue;
        EXPECT_GE(i, 34U) << "in front of the transport header";
        EXPECT_FALSE(protocol == 17 && i >= 38 && i < 42) << "UDP's length and checksum";
        EXPECT_FALSE(protocol == 6 && i == 46) << "the length of TCP's header";
      }
      EXPECT_EQ(bits, 1);
    }
  }
}

TEST(Frame, FlippingStaysInsideOfAnyFrame) {
  for (std::size_t length = 14; length < 80; ++length) {
    for (std::uint64_t hash = 0; hash < 64; ++hash) {
      Bytes frame(length, 0x81);
      flip_bit(frame, hash << 3 | 5);
      frame[12] = 0x86;
      frame[13] = 0xdd;
      flip_bit(frame, hash << 3 | 5);
    }
  }
}

TEST(FrameStore, HoldsNoMoreThanItsBoundAndGivesItBack) {
  LineMemory memory;
  memory.limit = 100'000;
  {
    FrameStore store(memory);
    std::vector<Block> held;
    while (auto block = store.take(1500)) held.push_back(std::move(*block));
    EXPECT_EQ(held.size(), 100'000U / 2048U);
    EXPECT_LE(memory.held.load(), memory.limit);
    store.give_back(std::move(held.back()));
    EXPECT_TRUE(store.take(2000));
    EXPECT_FALSE(store.take(2000));
    EXPECT_FALSE(store.take(1 << 20)) << "no block is that large";
  }
  EXPECT_EQ(memory.held.load(), 0U);
}

TEST(Histogram, QuantilesAreWithinAThirtiethOfTheValue) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.5).count(), 0);
  for (std::int64_t value = 1; value <= 1'000'000; value += 7) histogram.add(std::chrono::nanoseconds(value));
  for (const double share : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const auto value = static_cast<double>(histogram.quantile(share).count());
    EXPECT_GE(value, share * 1'000'000 * 0.999);
    EXPECT_LE(value, share * 1'000'000 * 1.035);
  }
}

TEST(Histogram, EveryValueHasItsBucket) {
  for (int bit = 0; bit < 45; ++bit) {
    for (const std::int64_t value : {(std::int64_t{1} << bit) - 1, std::int64_t{1} << bit, (std::int64_t{3} << bit)}) {
      Histogram histogram;
      histogram.add(std::chrono::nanoseconds(value));
      EXPECT_EQ(histogram.count(), 1U);
      if (value < (std::int64_t{1} << 41)) {
        EXPECT_GE(histogram.quantile(1.0).count(), value);
        EXPECT_LE(static_cast<double>(histogram.quantile(1.0).count()), static_cast<double>(value) * 1.035 + 1);
      }
    }
  }
  Histogram histogram;
  histogram.add(std::chrono::nanoseconds(-5));
  EXPECT_EQ(histogram.quantile(1.0).count(), 0);
}

}  // namespace
}  // namespace chaos
