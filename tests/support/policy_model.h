// PolicyModel: the rules of admission and queue once more, written from CONTRACT and not from the code: whole numbers,
// no plans, no strings but the names of rules. Tests hold chaosd against it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

namespace chaos::test {

class PolicyModel {
 public:
  struct Policy {
    unsigned slots = 3;
    unsigned queue = 16;
    int max_severity = 5;
    std::set<int> levels{1, 2, 3, 4, 5};
    int reason_above = 5;
    std::int64_t longest_s = 600;
    bool enabled = true;
    unsigned limit_percent = 30;
    unsigned population = 10;  ///< members 0 to population - 1 count always, others only while they are touched
  };
  struct Request {
    int severity = 0;  ///< 0: none given
    int counts_as = 3;
    bool reason = false;
    std::int64_t duration_s = 60;
    std::set<unsigned> touches;
    bool everything = false;
    bool touches_protected = false;
  };
  enum class Outcome { kRuns, kWaits, kRefused };

  explicit PolicyModel(Policy policy) : policy_(std::move(policy)) {}

  /// The rules that stand against it now, its turn aside.
  [[nodiscard]] std::set<std::string> against(const Request& request) const {
    std::set<std::string> broken;
    const int severity = request.severity != 0 ? request.severity : request.counts_as;
    if (latched_) broken.insert("emergency stop latch");
    if (!policy_.enabled) broken.insert("chaos_testing.scenarios.packet_loss.enabled");
    if (severity > policy_.max_severity) broken.insert("chaos_testing.max_severity");
    if (request.severity != 0 && !policy_.levels.contains(request.severity)) {
      broken.insert("chaos_testing.scenarios.packet_loss.severity_levels");
    }
    if (severity > policy_.reason_above && !request.reason) {
      broken.insert("chaos_testing.require_reason_above_severity");
    }
    if (request.duration_s > policy_.longest_s) broken.insert("chaos_testing.safety_timeout");
    if (request.touches_protected) broken.insert("protect");
    if (!fits(request)) broken.insert("chaos_testing.blast_radius_limit");
    return broken;
  }

  Outcome ask(unsigned id, const Request& request) {
    if (!against(request).empty()) return Outcome::kRefused;
    if (waiting_.empty() && running_.size() < policy_.slots) {
      running_.push_back({id, request});
      return Outcome::kRuns;
    }
    if (waiting_.size() >= policy_.queue) return Outcome::kRefused;
    waiting_.push_back({id, request});
    return Outcome::kWaits;
  }
  /// It ends, or is cancelled. Those whose turn comes start, or are dropped if a rule stands against them by now.
  void remove(unsigned id) {
    const auto is_it = [id](const Item& item) { return item.id == id; };
    std::erase_if(running_, is_it);
    std::erase_if(waiting_, is_it);
    move_up();
  }
  void emergency_stop() {
    latched_ = true;
    running_.clear();
    waiting_.clear();
  }
  void rearm() { latched_ = false; }
  void set_policy(Policy policy) {
    policy_ = std::move(policy);
    move_up();
  }

  [[nodiscard]] std::vector<unsigned> running() const { return ids(running_); }
  [[nodiscard]] std::vector<unsigned> waiting() const { return ids(waiting_); }
  [[nodiscard]] bool latched() const { return latched_; }
  [[nodiscard]] const Policy& policy() const { return policy_; }

 private:
  struct Item {
    unsigned id;
    Request request;
  };
  template <class Items>
  static std::vector<unsigned> ids(const Items& items) {
    std::vector<unsigned> all;
    for (const Item& item : items) all.push_back(item.id);
    return all;
  }
  [[nodiscard]] bool fits(const Request& request) const {
    std::set<unsigned> touched = request.touches;
    bool everything = request.everything;
    for (const Item& item : running_) {
      touched.insert(item.request.touches.begin(), item.request.touches.end());
      everything = everything || item.request.everything;
    }
    if (everything) return policy_.limit_percent >= 100;
    const auto strangers = static_cast<unsigned>(
        std::ranges::count_if(touched, [this](unsigned member) { return member >= policy_.population; }));
    return touched.size() * 100 <= policy_.limit_percent * (policy_.population + strangers);
  }
  void move_up() {
    while (!waiting_.empty() && running_.size() < policy_.slots && !latched_) {
      Item next = waiting_.front();
      waiting_.pop_front();
      if (against(next.request).empty()) running_.push_back(next);
    }
  }

  Policy policy_;
  bool latched_ = false;
  std::vector<Item> running_;
  std::deque<Item> waiting_;
};

}  // namespace chaos::test
