#include "announce/webhooks.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>

#include "announce/webhook_transfer.h"
#include "base/contains.h"

namespace chaos {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr milliseconds kIdle = std::chrono::minutes(10);  // whatever comes wakes the thread

}  // namespace

/// One URL. The first of `waiting` is tried until it is delivered or given up, then the next.
struct Webhooks::Receiver {
  Webhook hook;
  std::deque<Body> waiting;
  unsigned tries = 0;  ///< of the first
  Time due;            ///< of the next try
  bool busy = false;   ///< the first is on its way
  bool removed = false;

  void next() {
    waiting.pop_front();
    tries = 0;
    due = {};
  }
};

/// What the thread has of libcurl.
class Webhooks::Session {
 public:
  explicit Session(const Curl& curl) : curl_(curl), multi_(curl.multi_init()) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    for (const auto& [easy, running] : running_) curl_.multi_remove_handle(multi_, easy);
    running_.clear();
    if (multi_ != nullptr) curl_.multi_cleanup(multi_);
  }

  [[nodiscard]] bool valid() const { return multi_ != nullptr; }
  bool start(const std::shared_ptr<Receiver>& receiver) {
    auto transfer = WebhookTransfer::make(curl_, receiver->hook, receiver->waiting.front());
    if (!transfer || curl_.multi_add_handle(multi_, transfer->easy()) != CURLM_OK) return false;
    CURL* easy = transfer->easy();
    running_[easy] = {std::move(transfer), receiver};
    return true;
  }
  /// Moves all on; `done(receiver, problem)` for those that have ended.
  template <class Done>
  void perform(const Done& done) {
    int count = 0;
    curl_.multi_perform(multi_, &count);
    while (const CURLMsg* message = curl_.multi_info_read(multi_, &count)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto ended = running_.extract(message->easy_handle);
      const std::string problem = ended.mapped().transfer->problem(message->data.result);
      curl_.multi_remove_handle(multi_, ended.key());
      done(*ended.mapped().receiver, problem);
    }
  }
  void wait(milliseconds limit) { curl_.multi_poll(multi_, nullptr, 0, static_cast<int>(limit.count()), nullptr); }
  void wake() { curl_.multi_wakeup(multi_); }

 private:
  struct Running {
    std::unique_ptr<WebhookTransfer> transfer;
    std::shared_ptr<Receiver> receiver;
  };
  const Curl& curl_;
  CURLM* multi_;
  std::map<CURL*, Running> running_;
};

Webhooks::Webhooks(WebhookLimits limits) : limits_(limits), thread_([this] { run(); }) {
  ::pthread_setname_np(thread_.native_handle(), "webhooks");
}

Webhooks::~Webhooks() {
  {
    const std::lock_guard lock(mutex_);
    end_ = steady_clock::now() + limits_.at_shutdown;
    wake();
  }
  thread_.join();
}

void Webhooks::configure(const std::vector<Webhook>& hooks) {
  const std::lock_guard lock(mutex_);
  Receivers kept;
  for (const Webhook& hook : hooks) {
    const auto same = std::ranges::find_if(receivers_, [&](const auto& old) { return old->hook.url == hook.url; });
    if (same != receivers_.end()) {
      kept.push_back(std::move(*same));
      receivers_.erase(same);
    } else {
      kept.push_back(std::make_shared<Receiver>());
    }
    kept.back()->hook = hook;
  }
  for (const auto& receiver : receivers_) {
    counts_.dropped += receiver->waiting.size();
    receiver->removed = true;
  }
  receivers_ = std::move(kept);
}

void Webhooks::post(std::string_view event, std::string body) {
  const std::lock_guard lock(mutex_);
  const auto shared = std::make_shared<const std::string>(std::move(body));
  for (const auto& receiver : receivers_) {
    if (!contains(receiver->hook.events, event)) continue;
    auto& waiting = receiver->waiting;
    if (waiting.size() >= limits_.queue) {
      spdlog::warn("webhook {}: {} announcements wait; the oldest is dropped", loggable_url(receiver->hook.url),
                   waiting.size());
      ++counts_.dropped;
      if (receiver->busy) waiting.erase(waiting.begin() + 1);
      if (!receiver->busy) receiver->next();
    }
    waiting.push_back(shared);
  }
  wake();
}

WebhookCounts Webhooks::counts() const {
  const std::lock_guard lock(mutex_);
  WebhookCounts counts = counts_;
  for (const auto& receiver : receivers_) counts.pending += receiver->waiting.size();
  return counts;
}

void Webhooks::wake() {
  if (session_ != nullptr) session_->wake();
  awake_.notify_one();
}

void Webhooks::run() {
  const auto curl = Curl::load();
  if (!curl) return refuse(curl.error().message);
  Session session(**curl);
  if (!session.valid()) return refuse("libcurl: out of memory");
  {
    const std::lock_guard lock(mutex_);
    session_ = &session;
  }
  while (const auto limit = start_due(session)) {
    session.wait(*limit);
    session.perform([this](Receiver& receiver, const std::string& problem) { finish(receiver, problem); });
  }
  const std::lock_guard lock(mutex_);
  session_ = nullptr;
  give_up();
}

void Webhooks::refuse(const std::string& reason) {
  spdlog::error("webhooks: {}", reason);
  std::unique_lock lock(mutex_);
  while (!end_) {
    give_up();
    awake_.wait(lock);
  }
  give_up();
}

std::optional<milliseconds> Webhooks::start_due(Session& session) {
  const std::lock_guard lock(mutex_);
  const Time now = steady_clock::now();
  Time next = now + kIdle;
  bool idle = true;
  for (const auto& receiver : receivers_) {
    if (receiver->waiting.empty()) continue;
    idle = false;
    if (receiver->busy) continue;
    if (receiver->due > now && !end_) {
      next = std::min(next, receiver->due);
    } else if (session.start(receiver)) {
      receiver->busy = true;
      ++receiver->tries;
      next = now;  // its first steps
    } else {
      next = std::min(next, now + limits_.first_wait);
    }
  }
  if (!end_) return std::chrono::ceil<milliseconds>(next - now);
  if (idle || now >= *end_) return std::nullopt;
  return std::chrono::ceil<milliseconds>(std::min(next, *end_) - now);
}

void Webhooks::finish(Receiver& receiver, const std::string& problem) {
  const std::lock_guard lock(mutex_);
  receiver.busy = false;
  if (receiver.removed) return;
  if (problem.empty()) {
    ++counts_.delivered;
    return receiver.next();
  }
  const std::string url = loggable_url(receiver.hook.url);
  if (receiver.tries > receiver.hook.retries || end_) {
    spdlog::error("webhook {}: {}; given up after {} tries", url, problem, receiver.tries);
    ++counts_.failed;
    return receiver.next();
  }
  // Doubled once a try; 2^20 first waits are longer than any longest one.
  const auto wait = std::min(limits_.longest_wait, limits_.first_wait * (1 << std::min(receiver.tries - 1, 20U)));
  spdlog::warn("webhook {}: {}; again in {} ms", url, problem, wait.count());
  receiver.due = steady_clock::now() + wait;
}

void Webhooks::give_up() {
  for (const auto& receiver : receivers_) {
    if (receiver->waiting.empty()) continue;
    spdlog::error("webhook {}: {} announcements not delivered", loggable_url(receiver->hook.url),
                  receiver->waiting.size());
    counts_.failed += receiver->waiting.size();
    receiver->waiting.clear();
  }
}

}  // namespace chaos
