// TopModel: what chaosctl top shows, made of the daemon's answers; rates come from two of them. Values only; pure but
// for what TopModeler remembers. One thread. All texts are the daemon's own: they are made printable when they are
// laid out (top_layout.h), not here.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ctl/top_sample.h"

namespace chaos::ctl {

/// A number, or nothing where the host has none or there is no rate yet.
using TopNumber = std::optional<double>;

struct TopDevice {
  std::string name;
  TopNumber in;    ///< bytes a second: received, read
  TopNumber out;   ///< bytes a second: sent, written
  TopNumber lost;  ///< packets dropped or bad, a second; of a disk nothing
  TopNumber busy;  ///< share of time, of a disk
};

struct TopPressure {
  TopNumber waiting;  ///< share of time in which some task waited
  TopNumber stalled;  ///< in which all did
};

struct TopHost {
  unsigned cpus = 0;
  std::map<std::string, double> cpu;  ///< share of the CPUs' time by mode; empty without rates
  TopNumber busy;                     ///< all modes but idle and iowait
  std::array<TopNumber, 3> load;
  TopNumber runnable, blocked;
  TopNumber memory_total, memory_available, memory_cached, swap_total, swap_free;  ///< bytes
  TopNumber oom_kills;
  std::map<std::string, TopPressure> pressure;  ///< by resource: cpu, memory, io
  std::vector<TopDevice> networks;              ///< busiest first, without lo where there is another
  std::vector<TopDevice> disks;                 ///< busiest first
  TopNumber established;
  TopNumber retransmits, timeouts, resets, listen_drops;  ///< a second
  TopNumber softnet_drops, qdisc_drops, buffer_drops;     ///< a second
};

struct TopService {
  std::string name;
  std::string place;
  bool running = false;
  std::string health;  ///< healthy, unhealthy, unknown; empty: it has no probe
  std::string reason;  ///< why it is not healthy, or why none of its processes was found
  std::optional<WallTime> since;
  std::size_t processes = 0;
  std::size_t touched_by = 0;
  TopNumber cpu;     ///< CPUs
  TopNumber memory;  ///< bytes
};

struct TopFault {
  std::string id;
  std::string kind;
  std::string target;
  std::string state;  ///< "active", "queued #2"
  std::string severity;
  std::string requested;  ///< what `achieved` is to be held against first
  std::string achieved;
  std::string requested_values;  ///< both without names, and only what is measured: "10%" beside "9.3%"
  std::string achieved_values;
  std::uint64_t evaluated = 0;
  std::uint64_t matched = 0;
  std::uint64_t injected = 0;
  TopNumber injected_rate;
  std::optional<WallTime> ends_at;
  bool active = false;
  bool shadow = false;
  std::vector<std::string> warnings;
  Json record;  ///< all of it, for the details
};

struct TopDrop {
  std::string reason;
  bool injected = false;
  std::uint64_t count = 0;
  TopNumber rate;
};

/// Of the eBPF telemetry.
struct TopDrops {
  enum class State { kNotAsked, kRefused, kShown };
  State state = State::kNotAsked;
  std::string refusal;
  std::vector<TopDrop> reasons;
  std::uint64_t total = 0, injected = 0, natural = 0, oom_kills = 0;
  TopNumber injected_rate, natural_rate;
  std::string tcp_refusal;
  bool tcp = false;
  std::uint64_t retransmits = 0, syn_retransmits = 0, resets_sent = 0, resets_received = 0;
  TopNumber retransmit_rate;
  TopNumber rtt_p50_us, rtt_p99_us;
  double seconds = 0;  ///< since when it is counted
  std::vector<std::string> notes;
};

/// The last two minutes and more, oldest first, one a sample.
struct TopPast {
  std::deque<double> cpu;          ///< share
  std::deque<double> injected;     ///< a second, all faults
  std::deque<double> retransmits;  ///< a second
};

struct TopModel {
  WallTime time{};
  std::string lost;  ///< why the daemon does not answer; then the rest is what it last said
  std::optional<WallTime> lost_since;
  std::string version, instance, pid, status;
  bool armed = false;
  bool latched = false;
  std::string latch_reason;
  std::uint64_t uptime_seconds = 0;
  std::uint64_t lease_ms = 0;
  std::vector<std::string> problems;
  TopHost host;
  std::vector<TopService> services;
  std::vector<TopFault> faults;  ///< as the daemon lists them: newest first
  TopDrops drops;
  TopPast past;
};

/// Values of counters at the last look.
class TopRates {
 public:
  /// Values from here on are of `time`. The same time again: rates stay what they were.
  void look(std::optional<WallTime> time);
  /// By how much `key` grew each second since the last look; nothing the first time, or if it went down.
  TopNumber of(const std::string& key, double value);

 private:
  struct Known {
    WallTime at{};
    double value = 0;
    TopNumber rate;
  };
  std::map<std::string, Known> known_;
  std::optional<WallTime> time_;
};

class TopModeler {
 public:
  /// The model of `sample`; without an answer the last one, and why.
  [[nodiscard]] const TopModel& take(const TopSample& sample);
  [[nodiscard]] const TopModel& model() const { return model_; }

 private:
  TopRates host_, services_, faults_, drops_;
  TopModel model_;
};

}  // namespace chaos::ctl
