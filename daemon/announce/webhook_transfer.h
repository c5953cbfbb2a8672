// One POST by libcurl. Internal to announce/; the webhook thread.
#pragma once

#include <memory>
#include <string>

#include "base/curl.h"
#include "config/config.h"

namespace chaos {

class WebhookTransfer {
 public:
  /// Null: out of memory.
  static std::unique_ptr<WebhookTransfer> make(const Curl& curl, const Webhook& hook,
                                               std::shared_ptr<const std::string> body);
  ~WebhookTransfer();
  WebhookTransfer(const WebhookTransfer&) = delete;
  WebhookTransfer& operator=(const WebhookTransfer&) = delete;

  [[nodiscard]] CURL* easy() const { return easy_; }
  /// Empty if `code`, with which the transfer has ended, and the answer mean delivered; else why not.
  [[nodiscard]] std::string problem(CURLcode code) const;

 private:
  explicit WebhookTransfer(const Curl& curl) : curl_(curl) {}
  static std::size_t discard(char* data, std::size_t size, std::size_t count, void* self) noexcept;

  const Curl& curl_;
  CURL* easy_ = nullptr;
  curl_slist* headers_ = nullptr;
  std::shared_ptr<const std::string> body_;
  std::size_t received_ = 0;
};

/// "https://chat.example.com": the rest of a URL may hold secrets, which no log shows.
[[nodiscard]] std::string loggable_url(const std::string& url);

}  // namespace chaos
