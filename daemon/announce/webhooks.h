// Webhooks: POSTs announcements to the URLs of the configuration. One thread of its own does it by libcurl's multi
// interface, so that a slow receiver delays nobody but itself; its announcements stay in order. The callers' thread
// never waits, except at the end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "config/config.h"

namespace chaos {

/// Since the start, over all URLs; `pending` is now.
struct WebhookCounts {
  std::uint64_t delivered = 0;  ///< answered with 2xx
  std::uint64_t failed = 0;     ///< given up after the last try
  std::uint64_t dropped = 0;    ///< pushed out by newer ones, or their URL left the configuration
  std::uint64_t pending = 0;
};

struct WebhookLimits {
  std::chrono::milliseconds first_wait{1000};  ///< before the second try; doubles with each further one
  std::chrono::milliseconds longest_wait{30'000};
  std::chrono::milliseconds at_shutdown{3000};
  std::size_t queue = 100;  ///< announcements that wait, for each URL; 2 at least
};

class Webhooks {
 public:
  explicit Webhooks(WebhookLimits limits = {});
  /// Tries once more, at once, what is pending; waits for that, at most limits.at_shutdown in total.
  ~Webhooks();
  Webhooks(const Webhooks&) = delete;
  Webhooks& operator=(const Webhooks&) = delete;

  /// What is pending for a URL stays if the URL does. Any thread, as the following.
  void configure(const std::vector<Webhook>& hooks);
  /// Queues `body` (JSON) for all that want `event`.
  void post(std::string_view event, std::string body);
  [[nodiscard]] WebhookCounts counts() const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  using Body = std::shared_ptr<const std::string>;
  struct Receiver;
  using Receivers = std::vector<std::shared_ptr<Receiver>>;
  class Session;

  void run();
  /// Starts what is due. How long until more will be; nothing: it is time to end.
  std::optional<std::chrono::milliseconds> start_due(Session& session);
  void finish(Receiver& receiver, const std::string& problem);
  void refuse(const std::string& reason);
  // The mutex is held:
  void give_up();
  void wake();

  const WebhookLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable awake_;  ///< used without libcurl
  Receivers receivers_;
  WebhookCounts counts_;  ///< all but pending
  std::optional<Time> end_;
  Session* session_ = nullptr;  ///< to be woken
  std::thread thread_;
};

}  // namespace chaos
