// ProbeTransfer: one connection or one GET by libcurl's multi interface. The probe thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/curl.h"

namespace chaos {

class ProbeTransfer {
 public:
  /// `url`: an http or https URL, or "HOST:PORT" to connect to and hang up. Null: out of memory.
  static std::unique_ptr<ProbeTransfer> make(const Curl& curl, const std::string& url, bool connect_only,
                                             std::chrono::nanoseconds timeout);
  ~ProbeTransfer();
  ProbeTransfer(const ProbeTransfer&) = delete;
  ProbeTransfer& operator=(const ProbeTransfer&) = delete;

  [[nodiscard]] CURL* easy() const { return easy_; }
  /// Of one that has ended with `code`: why there was no answer; "" if there was one.
  [[nodiscard]] std::string problem(CURLcode code) const;
  [[nodiscard]] long status() const;
  [[nodiscard]] const std::string& body() const { return body_; }
  /// From SYN to SYN-ACK, as the kernel let it be seen; 0 if there was no connection.
  [[nodiscard]] std::chrono::nanoseconds round_trip() const;

 private:
  explicit ProbeTransfer(const Curl& curl) : curl_(curl) {}
  static std::size_t take(char* data, std::size_t size, std::size_t count, void* self) noexcept;

  const Curl& curl_;
  CURL* easy_ = nullptr;
  std::string body_;
  bool too_long_ = false;
};

}  // namespace chaos
