// What client.cpp and stream.cpp share of libcurl: set-up of a request on a Unix socket and the meaning of its errors.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <curl/curl.h>

#include "ctl/problem.h"

namespace chaos::ctl {

class HeaderList {
 public:
  void add(const std::string& line) {
    // curl_slist_append returns null when out of memory, and leaves the list as it was.
    if (curl_slist* longer = curl_slist_append(list_.get(), line.c_str()); longer != nullptr) {
      (void)list_.release();
      list_.reset(longer);
    }
  }
  [[nodiscard]] curl_slist* get() const { return list_.get(); }

 private:
  struct Deleter {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  std::unique_ptr<curl_slist, Deleter> list_;
};

/// A fresh easy handle, with libcurl initialised for the process; null if that fails.
[[nodiscard]] CURL* new_easy();

/// Points `easy` at `path` on the Unix socket. Error: kInvalid if the socket's path cannot be one.
[[nodiscard]] Outcome<void> prepare(CURL* easy, const std::string& socket, const std::string& path);

/// Why the transfer failed: may not open the socket (kDenied), nobody listens or answers (kUnreachable).
[[nodiscard]] Problem transport_problem(CURL* easy, CURLcode code, const std::string& socket,
                                        std::chrono::milliseconds timeout);

}  // namespace chaos::ctl
