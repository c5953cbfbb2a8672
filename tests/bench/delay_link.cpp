#include "bench/delay_link.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "bench/harness.h"

namespace chaos::bench {
namespace {

constexpr std::size_t kLargestFrame = 128 * 1024;
/// Of one direction: 10 ms of 4 Gbit/s.
constexpr std::size_t kQueueBytes = 5 * 1024 * 1024;
constexpr std::chrono::milliseconds kIdle{50};  ///< how soon the thread sees that it shall end

/// A TAP device of the calling thread's namespace; it goes with its fd.
UniqueFd open_tap(const char* name) {
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (!fd.valid() || ioctl(fd.get(), TUNSETIFF, &request) != 0 ||
      ioctl(fd.get(), TUNSETOFFLOAD, static_cast<unsigned long>(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) != 0) {
    throw std::runtime_error(std::string("make TAP ") + name + ": " + std::strerror(errno));
  }
  return fd;
}

UniqueFd make_end(const test::Namespace& ns, const std::string& device, const std::string& address, Offloads offloads) {
  UniqueFd tap;
  ns.run([&] { tap = open_tap(device.c_str()); });
  const std::string ip = "ip -n " + ns.name() + " ";
  test::shell(ip + "addr add " + address + "/24 dev " + device);
  test::shell(ip + "link set " + device + " txqueuelen 10000 up");
  const std::string state = offloads == Offloads::kOn ? "on" : "off";
  ns.command("ethtool -K " + device + " gso " + state + " tso " + state + " gro " + state);
  if (offloads == Offloads::kSingle) test::shell(ip + "link set " + device + " gso_max_segs 1");
  return tap;
}

}  // namespace

DelayLink::DelayLink(std::chrono::microseconds one_way, Offloads offloads)
    : one_way_(one_way),
      left_("delay-l"),
      right_("delay-r"),
      left_tap_(make_end(left_, "l0", "10.78.0.1", offloads)),
      right_tap_(make_end(right_, "r0", "10.78.0.2", offloads)),
      buffer_(kLargestFrame) {
  lanes_[0].from = lanes_[1].to = left_tap_.get();
  lanes_[0].to = lanes_[1].from = right_tap_.get();
  thread_ = std::thread([this] { carry(); });
}

DelayLink::~DelayLink() {
  stop_.store(true);
  thread_.join();
}

void DelayLink::carry() {
  be_punctual();
  while (!stop_.load()) {
    wait();
    for (Lane& lane : lanes_) {
      take_in(lane);
      pass_on(lane);
    }
  }
}

void DelayLink::take_in(Lane& lane) {
  // A bounded batch, so that what is due on the other lane does not wait for a flood on this one.
  constexpr int kBatch = 64;
  for (int i = 0; i < kBatch; ++i) {
    const ssize_t length = read(lane.from, buffer_.data(), buffer_.size());
    if (length <= 0) return;
    const auto size = static_cast<std::size_t>(length);
    if (lane.queued_bytes + size > kQueueBytes) {
      overflows_.fetch_add(1);
      continue;
    }
    lane.queued_bytes += size;
    lane.frames.push_back({Clock::now() + one_way_, {buffer_.begin(), buffer_.begin() + length}});
  }
}

void DelayLink::pass_on(Lane& lane) {
  while (!lane.frames.empty() && lane.frames.front().due <= Clock::now()) {
    const Frame& frame = lane.frames.front();
    // A device that is down refuses frames, as a dead link would.
    (void)!write(lane.to, frame.bytes.data(), frame.bytes.size());
    lane.queued_bytes -= frame.bytes.size();
    lane.frames.pop_front();
  }
}

void DelayLink::wait() const {
  Clock::time_point wake = Clock::now() + kIdle;
  for (const Lane& lane : lanes_) {
    if (!lane.frames.empty()) wake = std::min(wake, lane.frames.front().due);
  }
  const auto left = std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(wake - Clock::now())).count();
  const timespec timeout{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
  std::array<pollfd, 2> fds{{{lanes_[0].from, POLLIN, 0}, {lanes_[1].from, POLLIN, 0}}};
  (void)ppoll(fds.data(), fds.size(), &timeout, nullptr);
}

}  // namespace chaos::bench
