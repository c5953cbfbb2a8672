// DelayLine: holds packets in user space and lets them go. One for each network namespace that needs one: a TAP there,
// the programs on it, and a thread of its own. If the process dies, all of it goes with the TAP's file; if it hangs,
// the gate in the classifier hands over nothing any more. Made and destroyed: worker thread, inside the namespace.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kernel/line_programs.h"
#include "kernel/shared_maps.h"
#include "kernel/tap.h"
#include "line/frame.h"
#include "line/line_fault.h"

namespace chaos {

class DelayLine {
 public:
  struct Setup {
    const SharedMaps& maps;
    LineMemory& memory;
    std::string name;     ///< of the TAP
    unsigned number = 0;  ///< below CHAOS_MAX_LINES
    bool classic = false;
  };
  /// `netns` is the calling thread's. Errors: kUnsupported (no TAP devices here), kInternal.
  static Result<std::unique_ptr<DelayLine>> create(const Setup& setup, const Netns& netns);
  /// What it still holds is lost: end() first.
  ~DelayLine();
  DelayLine(const DelayLine&) = delete;
  DelayLine& operator=(const DelayLine&) = delete;

  [[nodiscard]] unsigned number() const { return number_; }
  [[nodiscard]] unsigned ifindex() const { return tap_.ifindex(); }
  [[nodiscard]] const std::string& device() const { return tap_.name(); }
  [[nodiscard]] const LinePrograms& programs() const { return programs_; }

  /// Before the fault is active. Blocks for a moment.
  void add(unsigned fault, std::shared_ptr<LineFault> what);
  /// When the classifier hands over no more of the fault's packets: lets go in their order those that nothing else
  /// holds, or, with `discard`, drops them. Blocks until that is done.
  void end(unsigned fault, bool discard);

 private:
  /// Released in this order: when it is time, and as they came.
  struct Held {
    std::int64_t due_ns;
    std::uint64_t order;
    std::unique_ptr<Frame> frame;
    bool operator<(const Held& other) const {  // the heap's top is the largest
      return due_ns != other.due_ns ? due_ns > other.due_ns : order > other.order;
    }
  };
  /// Of a flow, by hash: so that its packets keep their order, and their numbers.
  struct Flow {
    std::uint64_t hash = 0;
    std::int64_t last_due_ns = 0;
    std::uint64_t packets = 0;
  };
  struct Rates {
    std::array<RateQueue, 2> by_direction;
  };

  DelayLine(const Setup& setup, Tap tap, LinePrograms programs);
  Status start();
  void run();
  void on_line(std::function<void()> job);
  void run_jobs();
  /// Milliseconds are too coarse: until the next one is due, or somebody calls.
  void wait();
  /// How long to sleep for the next that is due, in ns; 0: it is time. May have waited for it awake.
  std::int64_t sleep_before(std::int64_t due_ns);
  /// Reads some frames; false when there are none left.
  bool read_some();
  /// What was read lies in landing_, which is taken along if that saves a copy.
  void arrive(std::size_t length, std::int64_t now_ns);
  std::optional<Block> keep(std::size_t length);
  /// When the frame is to go on; empty: it has been dropped and counted.
  std::optional<std::int64_t> schedule(Frame& frame, Flow& flow);
  void let_go(Frame& frame);
  void let_go_due(std::int64_t now_ns);
  void drop(std::unique_ptr<Frame> frame);
  bool write_once(const Frame& frame);
  template <class Use>
  void each_fault(std::uint64_t faults, Use use) const;
  void update_offloads();
  Flow& flow_of(std::uint64_t hash, std::int64_t now_ns);
  std::unique_ptr<Frame> new_frame();

  const SharedMaps& maps_;
  const unsigned number_;
  Tap tap_;
  LinePrograms programs_;
  UniqueFd wake_;
  UniqueFd epoll_;
  std::mutex mutex_;  ///< jobs_
  std::vector<std::function<void()>> jobs_;
  std::atomic<bool> stopping_{false};

  // The line's thread from here on.
  FrameStore store_;
  std::array<std::shared_ptr<LineFault>, CHAOS_MAX_FAULTS> faults_{};
  std::array<Rates, CHAOS_MAX_FAULTS> rates_{};
  std::vector<Held> heap_;
  std::uint64_t order_ = 0;
  std::vector<Flow> flows_;
  std::vector<std::uint32_t> last_number_;  ///< by CPU
  std::vector<std::unique_ptr<Frame>> spare_;
  std::optional<Block> landing_;  ///< where frames are read to
  std::vector<unsigned char> last_resort_;
  std::int64_t spin_credit_ns_ = 0;
  std::int64_t credited_ns_ = 0;
  std::uint32_t marks_ = 0;
  bool more_ = false;  ///< the last read left some
  bool tap_gone_ = false;
  bool warned_ = false;
  std::thread thread_;
};

}  // namespace chaos
