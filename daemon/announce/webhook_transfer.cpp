#include "announce/webhook_transfer.h"

#include <fmt/format.h>

#include <chrono>

namespace chaos {
namespace {

// Nobody reads the answer; one that is longer than this is cut off.
constexpr std::size_t kMaxAnswer = 64 * 1024;
constexpr long kMaxRedirects = 3;

}  // namespace

std::unique_ptr<WebhookTransfer> WebhookTransfer::make(const Curl& curl, const Webhook& hook,
                                                       std::shared_ptr<const std::string> body) {
  std::unique_ptr<WebhookTransfer> transfer(new WebhookTransfer(curl));
  transfer->easy_ = curl.easy_init();
  // An "Expect: 100-continue" would cost receivers that do not know it a second.
  for (const char* line : {"Content-Type: application/json", "Expect:"}) {
    curl_slist* longer = curl.slist_append(transfer->headers_, line);
    if (longer == nullptr) return nullptr;
    transfer->headers_ = longer;
  }
  if (transfer->easy_ == nullptr) return nullptr;
  transfer->body_ = std::move(body);
  const bool secure = hook.url.starts_with("https:");
  const auto timeout = std::chrono::ceil<std::chrono::milliseconds>(hook.timeout).count();
  const auto set = [&](CURLoption option, auto value) { (void)curl.easy_setopt(transfer->easy_, option, value); };
  set(CURLOPT_URL, hook.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, kMaxRedirects);
  set(CURLOPT_POSTREDIR, static_cast<long>(CURL_REDIR_POST_ALL));
  set(CURLOPT_POSTFIELDSIZE, static_cast<long>(transfer->body_->size()));
  set(CURLOPT_POSTFIELDS, transfer->body_->c_str());
  set(CURLOPT_HTTPHEADER, transfer->headers_);
  set(CURLOPT_USERAGENT, "chaosd");
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(timeout));
  set(CURLOPT_NOSIGNAL, 1L);
  // At the end nobody waits for a name server that does not answer.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_WRITEFUNCTION, &WebhookTransfer::discard);
  set(CURLOPT_WRITEDATA, transfer.get());
  return transfer;
}

WebhookTransfer::~WebhookTransfer() {
  if (easy_ != nullptr) curl_.easy_cleanup(easy_);
  curl_.slist_free_all(headers_);
}

std::size_t WebhookTransfer::discard(char* /*data*/, std::size_t size, std::size_t count, void* self) noexcept {
  auto& received = static_cast<WebhookTransfer*>(self)->received_;
  received += size * count;
  return received > kMaxAnswer ? 0 : size * count;
}

std::string WebhookTransfer::problem(CURLcode code) const {
  const bool cut_off = code == CURLE_WRITE_ERROR && received_ > kMaxAnswer;
  if (code != CURLE_OK && !cut_off) return curl_.easy_strerror(code);
  long status = 0;
  curl_.easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  return status >= 200 && status < 300 ? "" : fmt::format("status {}", status);
}

std::string loggable_url(const std::string& url) {
  const std::size_t start = url.find("://") + 3;
  std::string authority = url.substr(start, url.find_first_of("/?#", start) - start);
  if (const std::size_t user_end = authority.rfind('@'); user_end != std::string::npos) {
    authority.erase(0, user_end + 1);
  }
  return url.substr(0, start) + authority;
}

}  // namespace chaos
