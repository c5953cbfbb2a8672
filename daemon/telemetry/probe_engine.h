// The thread behind the Prober: which tasks there are, when each is due, those under way. Internal to prober.cpp.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "telemetry/probe_command.h"
#include "telemetry/probe_transfer.h"
#include "telemetry/prober.h"

namespace chaos {

/// One thing to ask, again and again.
struct Prober::Task {
  std::string name;       ///< service or metric
  bool is_health = true;  ///< else a source
  std::string type;       ///< unit | tcp | http | command | prometheus | json | file
  std::string where;      ///< unit, address, URL, path
  std::string what;       ///< series or pointer
  std::vector<std::string> command;
  unsigned expect_status = 200;
  std::chrono::nanoseconds interval{};
  std::chrono::nanoseconds timeout{};
  friend bool operator==(const Task&, const Task&) = default;
};

class Prober::Engine {
 public:
  /// Called on the engine's thread.
  using Report = std::function<void(const Task&, Outcome)>;
  Engine(std::vector<Task> tasks, Report report);
  /// Asks the thread to end what is under way and itself; does not wait.
  void stop();
  /// It has: the destructor does not wait any more.
  [[nodiscard]] bool has_stopped() const { return stopped_.load(); }
  /// Stops and joins: systemd's answer may take some seconds.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  [[nodiscard]] const std::vector<Task>& tasks() const { return tasks_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Running {
    std::unique_ptr<ProbeCommand> command;
    std::unique_ptr<ProbeTransfer> transfer;
    Time began;
    Time deadline;
  };
  struct Slot {
    const Task* task;
    Time due;
    std::optional<Running> running;
  };

  void run();
  void serve();
  void run_without_curl(const std::string& problem);
  void start(Slot& slot);
  void start_transfer(Slot& slot);
  void finish(Slot& slot, Outcome outcome);
  void finish_transfers();
  void look_at_commands();
  [[nodiscard]] std::chrono::milliseconds until_next() const;
  void wait(std::chrono::milliseconds limit);

  const std::vector<Task> tasks_;
  const Report report_;
  std::vector<Slot> slots_;
  const Curl* curl_ = nullptr;
  CURLM* multi_ = nullptr;
  std::mutex mutex_;  ///< of the two below
  CURLM* wake_ = nullptr;
  bool stopping_ = false;
  std::atomic<bool> stopped_{false};
  std::thread thread_;  ///< last
};

}  // namespace chaos
