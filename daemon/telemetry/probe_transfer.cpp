#include "telemetry/probe_transfer.h"

#include <fmt/format.h>

namespace chaos {
namespace {

constexpr std::size_t kMostBody = std::size_t{4} << 20;  // an exporter with some ten thousand series

}  // namespace

std::unique_ptr<ProbeTransfer> ProbeTransfer::make(const Curl& curl, const std::string& url, bool connect_only,
                                                   std::chrono::nanoseconds timeout) {
  std::unique_ptr<ProbeTransfer> transfer(new ProbeTransfer(curl));
  transfer->easy_ = curl.easy_init();
  if (transfer->easy_ == nullptr) return nullptr;
  const auto limit_ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  const auto set = [&](CURLoption option, auto value) { (void)curl.easy_setopt(transfer->easy_, option, value); };
  set(CURLOPT_URL, (connect_only ? "http://" + url : url).c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_CONNECT_ONLY, connect_only ? 1L : 0L);
  // What is probed is this address, whatever the environment says; and each time anew.
  set(CURLOPT_PROXY, "");
  set(CURLOPT_FRESH_CONNECT, 1L);
  set(CURLOPT_FORBID_REUSE, 1L);
  set(CURLOPT_USERAGENT, "chaosd");
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(limit_ms));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_WRITEFUNCTION, &ProbeTransfer::take);
  set(CURLOPT_WRITEDATA, transfer.get());
  return transfer;
}

ProbeTransfer::~ProbeTransfer() {
  if (easy_ != nullptr) curl_.easy_cleanup(easy_);
}

std::size_t ProbeTransfer::take(char* data, std::size_t size, std::size_t count, void* self) noexcept {
  auto& transfer = *static_cast<ProbeTransfer*>(self);
  transfer.too_long_ = transfer.body_.size() + size * count > kMostBody;
  if (transfer.too_long_) return 0;
  transfer.body_.append(data, size * count);
  return size * count;
}

std::string ProbeTransfer::problem(CURLcode code) const {
  if (code == CURLE_OK) return {};
  if (too_long_) return "the answer is longer than 4 MiB";
  if (code == CURLE_OPERATION_TIMEDOUT) return "no answer in time";
  return curl_.easy_strerror(code);
}

long ProbeTransfer::status() const {
  long status = 0;
  curl_.easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

std::chrono::nanoseconds ProbeTransfer::round_trip() const {
  curl_off_t connected_us = 0;
  curl_off_t resolved_us = 0;
  curl_.easy_getinfo(easy_, CURLINFO_CONNECT_TIME_T, &connected_us);
  curl_.easy_getinfo(easy_, CURLINFO_NAMELOOKUP_TIME_T, &resolved_us);
  if (connected_us <= resolved_us) return {};
  return std::chrono::microseconds(connected_us - resolved_us);
}

}  // namespace chaos
