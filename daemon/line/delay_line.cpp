#include "line/delay_line.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>

#include "line/own_cpu.h"

namespace chaos {
namespace {

constexpr std::size_t kFlows = 16384;
constexpr std::size_t kLargest = 70 * 1024;
/// Frames that are read before those are looked after that are due.
constexpr int kBatch = 32;
/// Between batches of what is let go all at once.
constexpr std::chrono::microseconds kBreath{20};
constexpr std::size_t kSpareFrames = 4096;
constexpr std::size_t kCopied = 16384;
/// How long it waits awake for the next packet's time, and of how much time that may be one part.
constexpr std::int64_t kSpin = 120'000;
constexpr std::int64_t kSpinShare = 8;

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void count(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) {
  counter.fetch_add(by, std::memory_order_relaxed);
}

}  // namespace

Result<std::unique_ptr<DelayLine>> DelayLine::create(const Setup& setup, const Netns& netns) {
  auto tap = Tap::create(setup.name, netns);
  if (!tap) return std::unexpected(tap.error());
  auto programs = LinePrograms::attach(setup.maps, setup.number, tap->ifindex(), setup.classic);
  if (!programs) return std::unexpected(programs.error());
  if (Status up = tap->bring_up(); !up) return std::unexpected(up.error());
  std::unique_ptr<DelayLine> line(new DelayLine(setup, std::move(*tap), std::move(*programs)));
  if (Status status = line->start(); !status) return std::unexpected(status.error());
  return line;
}

DelayLine::DelayLine(const Setup& setup, Tap tap, LinePrograms programs)
    : maps_(setup.maps),
      number_(setup.number),
      tap_(std::move(tap)),
      programs_(std::move(programs)),
      store_(setup.memory),
      flows_(kFlows),
      last_resort_(kLargest) {}

Status DelayLine::start() {
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!wake_.valid() || !epoll_.valid()) return fail_errno("set up a delay line");
  for (const int fd : {wake_.get(), tap_.fd()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("set up a delay line");
  }
  thread_ = std::thread([this] { run(); });
  return {};
}

DelayLine::~DelayLine() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  on_line([] {});
  thread_.join();
}

void DelayLine::on_line(std::function<void()> job) {
  {
    const std::scoped_lock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  const std::uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void DelayLine::add(unsigned fault, std::shared_ptr<LineFault> what) {
  std::promise<void> done;
  on_line([&] {
    faults_[fault] = std::move(what);
    rates_[fault] = {};
    update_offloads();
    done.set_value();
  });
  done.get_future().wait();
}

void DelayLine::end(unsigned fault, bool discard) {
  std::promise<void> done;
  on_line([&] {
    // What the classifier had handed over before it stopped: no more than waits now. What another fault goes on sending
    // has no end.
    for (unsigned read = 0; read < kTapQueue && read_some(); read += kBatch) let_go_due(now_ns());
    const std::uint64_t others = ~(1ULL << fault);
    const auto only_its = [&](const Held& held) {
      std::uint64_t live = 0;
      each_fault(held.frame->header.faults & others, [&](LineFault&, unsigned index) { live |= 1ULL << index; });
      return live == 0;
    };
    std::ranges::sort(heap_, [](const Held& a, const Held& b) { return b < a; });
    std::vector<Held> kept;
    std::size_t flushed = 0;
    for (Held& held : heap_) {
      if (!only_its(held)) {
        kept.push_back(std::move(held));
      } else if (discard) {
        count(faults_[fault]->tally.discarded);
        drop(std::move(held.frame));
      } else {
        let_go(*held.frame);
        drop(std::move(held.frame));
        // The receiver's backlog is short, and who empties it may need this CPU.
        if (++flushed % kBatch == 0) std::this_thread::sleep_for(kBreath);
      }
    }
    heap_ = std::move(kept);
    std::make_heap(heap_.begin(), heap_.end());
    faults_[fault].reset();
    update_offloads();
    done.set_value();
  });
  done.get_future().wait();
}

void DelayLine::update_offloads() {
  // A bit is flipped in a packet that is whole and has its checksum, or no receiver would notice.
  const bool corrupts = std::ranges::any_of(faults_, [](const auto& fault) { return fault && fault->corrupt; });
  if (tap_gone_) return;
  if (Status status = tap_.set_offloads(!corrupts); !status) spdlog::warn("{}", status.error().message);
}

void DelayLine::run() {
  ::pthread_setname_np(::pthread_self(), "delay-line");
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  const OwnCpu cpu;
  while (!stopping_) {
    wait();
    // What it woke up for comes before everything else.
    let_go_due(now_ns());
    run_jobs();
    more_ = read_some();
    let_go_due(now_ns());
  }
}

void DelayLine::wait() {
  std::array<epoll_event, 2> events{};
  timespec timeout{};
  const timespec* limit = &timeout;
  if (heap_.empty() && !more_) {
    limit = nullptr;
  } else if (!more_) {
    const std::int64_t left = sleep_before(heap_.front().due_ns);
    if (left == 0) return;
    timeout = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
  } else {
    return;
  }
  (void)::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), limit, nullptr);
}

std::int64_t DelayLine::sleep_before(std::int64_t due) {
  const std::int64_t now = now_ns();
  spin_credit_ns_ = std::min(kSpin, spin_credit_ns_ + (now - credited_ns_) / kSpinShare);
  credited_ns_ = now;
  if (due <= now) return 0;
  if (spin_credit_ns_ < kSpin) return due - now;
  if (due - now > kSpin) return due - now - kSpin;
  // A timer is late by a wake-up: the last moment is waited for awake, as long as that takes no more than its share.
  std::int64_t then = now;
  while (then < due) then = now_ns();
  spin_credit_ns_ -= then - now;
  return 0;
}

void DelayLine::run_jobs() {
  std::vector<std::function<void()>> jobs;
  {
    const std::scoped_lock lock(mutex_);
    if (jobs_.empty()) return;
    jobs.swap(jobs_);
  }
  std::uint64_t calls = 0;
  (void)!::read(wake_.get(), &calls, sizeof calls);
  for (const auto& job : jobs) job();
}

bool DelayLine::read_some() {
  if (tap_gone_) return false;
  for (int i = 0; i < kBatch; ++i) {
    if (!landing_) landing_ = store_.take(kLargest);
    // Without memory they are read all the same, to be counted and dropped.
    unsigned char* where = landing_ ? landing_->bytes.get() : last_resort_.data();
    const ssize_t got = ::read(tap_.fd(), where, kLargest);
    if (got > 0) {
      arrive(static_cast<std::size_t>(got), now_ns());
      continue;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    // The device went with its namespace.
    tap_gone_ = true;
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, tap_.fd(), nullptr);
    return false;
  }
  return true;
}

template <class Use>
void DelayLine::each_fault(std::uint64_t faults, Use use) const {
  for (; faults != 0; faults &= faults - 1) {
    const auto index = static_cast<unsigned>(std::countr_zero(faults));
    if (faults_[index]) use(*faults_[index], index);
  }
}

DelayLine::Flow& DelayLine::flow_of(std::uint64_t hash, std::int64_t now) {
  Flow& flow = flows_[hash % kFlows];
  // Two that share a place keep their order between them as well, as long as one of them has something in the line.
  if (flow.hash != hash && flow.last_due_ns < now) flow = {.hash = hash, .last_due_ns = 0, .packets = 0};
  return flow;
}

std::unique_ptr<Frame> DelayLine::new_frame() {
  if (spare_.empty()) return std::make_unique<Frame>();
  auto frame = std::move(spare_.back());
  spare_.pop_back();
  *frame = {};
  return frame;
}

std::optional<Block> DelayLine::keep(std::size_t length) {
  if (!landing_) return std::nullopt;
  // A large one stays where it is.
  if (length > kCopied) return std::exchange(landing_, std::nullopt);
  auto block = store_.take(length);
  if (block) std::memcpy(block->bytes.get(), landing_->bytes.get(), length);
  return block;
}

void DelayLine::arrive(std::size_t length, std::int64_t now) {
  auto frame = new_frame();
  const unsigned char* where = landing_ ? landing_->bytes.get() : last_resort_.data();
  if (!parse_frame({where, length}, *frame)) return;
  const std::uint64_t faults = frame->header.faults;
  const std::uint32_t cpu = frame->header.cpu;
  if (last_number_.size() <= cpu) last_number_.resize(cpu + 1);
  const bool first = last_number_[cpu] != frame->header.number;
  last_number_[cpu] = frame->header.number;
  if (first) each_fault(faults, [](LineFault& fault, unsigned) { count(fault.tally.arrived); });
  auto block = keep(length);
  if (!block) {
    if (first) each_fault(faults, [](LineFault& fault, unsigned) { count(fault.tally.over_limit); });
    return;
  }
  frame->block = std::move(*block);
  frame->place_tag();
  Flow& flow = flow_of(frame->header.flow, now);
  const std::uint64_t number = flow.packets++;
  if (first) {
    each_fault(faults, [&](LineFault& fault, unsigned) {
      if (fault.duplicate) ++frame->copies;
      if (fault.corrupt) flip_bit(frame->bytes(), next_hash(fault.seed ^ frame->header.flow ^ (number << 20)));
    });
  }
  const auto due = schedule(*frame, flow);
  if (!due) return drop(std::move(frame));
  heap_.push_back({*due, order_++, std::move(frame)});
  std::push_heap(heap_.begin(), heap_.end());
}

std::optional<std::int64_t> DelayLine::schedule(Frame& frame, Flow& flow) {
  using std::chrono::nanoseconds;
  const nanoseconds taken(static_cast<std::int64_t>(frame.header.taken_ns));
  nanoseconds due = taken;
  bool overtakes = false;
  bool dropped = false;
  // What a slow link does to a packet comes before what a long one does.
  each_fault(frame.header.faults, [&](LineFault& fault, unsigned index) {
    if (!fault.rate || dropped) return;
    const auto left =
        rates_[index].by_direction[frame.header.direction & 1U].depart(*fault.rate, due, frame.wire_bytes());
    if (left) due = *left;
    dropped = !left;
    if (dropped) count(fault.tally.queue_full);
  });
  if (dropped) return std::nullopt;
  each_fault(frame.header.faults, [&](LineFault& fault, unsigned) {
    if (!fault.delay) return;
    const std::uint64_t hash = next_hash(next_hash(fault.seed ^ frame.header.flow) + flow.packets);
    if (fault.delay->reorder_threshold != 0 && next_hash(hash ^ fault.seed) >> 32 < fault.delay->reorder_threshold) {
      overtakes = true;
      count(fault.tally.overtook);
      return;
    }
    const nanoseconds since(taken.count() - fault.started_ns.load(std::memory_order_relaxed));
    due += requested_delay(*fault.delay, hash, std::max(since, nanoseconds(0)));
  });
  frame.requested = due - taken;
  if (!overtakes) {
    due = std::max(due, nanoseconds(flow.last_due_ns));
    flow.last_due_ns = due.count();
  }
  return due.count();
}

void DelayLine::let_go_due(std::int64_t now) {
  while (!heap_.empty() && heap_.front().due_ns <= now) {
    std::pop_heap(heap_.begin(), heap_.end());
    std::unique_ptr<Frame> frame = std::move(heap_.back().frame);
    heap_.pop_back();
    let_go(*frame);
    drop(std::move(frame));
  }
}

void DelayLine::let_go(Frame& frame) {
  bool all = true;
  for (unsigned i = 0; i < frame.copies; ++i) all = write_once(frame) && all;
  const std::chrono::nanoseconds achieved(now_ns() - static_cast<std::int64_t>(frame.header.taken_ns));
  each_fault(frame.header.faults, [&](LineFault& fault, unsigned) {
    LineTally& tally = fault.tally;
    if (!all) return count(tally.undeliverable);
    tally.requested.add(frame.requested);
    tally.achieved.add(achieved);
    tally.late.add(achieved - frame.requested);
    count(tally.bytes, frame.end - frame.begin);
  });
}

void DelayLine::drop(std::unique_ptr<Frame> frame) {
  store_.give_back(std::move(frame->block));
  if (spare_.size() < kSpareFrames) spare_.push_back(std::move(frame));
}

bool DelayLine::write_once(const Frame& frame) {
  if (tap_gone_) return false;
  const chaos_line_header& header = frame.header;
  chaos_line& way = maps_.line(number_);
  way.ifindex = header.ifindex;
  way.direction = header.direction;
  way.mark = header.mark;
  way.priority = header.priority;
  way.queue = header.queue;
  if (header.direction == CHAOS_INGRESS) {
    const std::uint32_t place = marks_++ % CHAOS_LINE_MARKS;
    maps_.line_mark(place) = header.mark | std::uint64_t{header.packet_type} << CHAOS_LINE_TYPE_SHIFT;
    way.mark = maps_.control().line_secret | place;
  }
  const std::span<const unsigned char> image = frame.write_image();
  std::atomic_ref returned(way.returned);
  const std::uint64_t before = returned.load(std::memory_order_relaxed);
  const ssize_t written = ::write(tap_.fd(), image.data(), image.size());
  const bool ran = returned.load(std::memory_order_relaxed) != before;
  if (written > 0 && ran) return true;
  if (!warned_) {
    warned_ = true;
    spdlog::warn("a delay line lost a packet: {}",
                 written < 0 ? std::strerror(errno) : "its device does not handle what is written to it at once");
  }
  return false;
}

}  // namespace chaos
