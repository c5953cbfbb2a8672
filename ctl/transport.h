// What client.cpp, stream.cpp and brake_call.cpp share: libcurl set up for a Unix socket, what its errors mean, and how
// an answer is read.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/curl.h"
#include "ctl/problem.h"

namespace chaos::ctl {

/// libcurl, loaded on the first call; null if it is not there.
[[nodiscard]] const Curl* curl();

/// The problem that curl() is null.
[[nodiscard]] Problem no_curl();

class HeaderList {
 public:
  explicit HeaderList(const Curl& lib) : curl_(&lib) {}
  void add(const std::string& line) {
    // curl_slist_append returns null when out of memory, and leaves the list as it was.
    if (curl_slist* longer = curl_->slist_append(list_.get(), line.c_str()); longer != nullptr) {
      (void)list_.release();
      list_.reset(longer);
    }
  }
  [[nodiscard]] curl_slist* get() const { return list_.get(); }

 private:
  struct Deleter {
    void operator()(curl_slist* list) const { curl()->slist_free_all(list); }
  };
  const Curl* curl_;
  std::unique_ptr<curl_slist, Deleter> list_;
};

/// Points `easy` at `path` on the Unix socket. Error: kInvalid if the socket's path cannot be one.
[[nodiscard]] Outcome<void> prepare(const Curl& lib, CURL* easy, const std::string& socket, const std::string& path);

/// A socket path that does not fit into a sockaddr_un.
[[nodiscard]] Problem socket_path_problem();

/// Why connect(2) on `socket` failed with `err`.
[[nodiscard]] Problem connect_problem(int err, const std::string& socket);

/// The daemon did not answer in time.
[[nodiscard]] Problem silence_problem(const std::string& socket, std::chrono::milliseconds timeout);

/// The daemon, or whoever listens, ended the conversation early.
[[nodiscard]] Problem broken_problem(const std::string& socket, const std::string& how);

/// The whole transfer of `easy`, as curl_easy_perform does it; CURLE_ABORTED_BY_CALLBACK once `interrupt_fd` (-1: none)
/// is readable.
[[nodiscard]] CURLcode perform_until(const Curl& lib, CURL* easy, int interrupt_fd);

/// The transfer was given up by whoever had asked for it.
[[nodiscard]] Problem interrupted_problem();

/// The document of a 2xx answer, an empty one for no body; else the problem that it is.
Outcome<Json> parse_answer(long status, const std::string& body);

/// Why the transfer failed: may not open the socket (kDenied), nobody listens or answers (kUnreachable).
[[nodiscard]] Problem transport_problem(const Curl& lib, CURL* easy, CURLcode code, const std::string& socket,
                                        std::chrono::milliseconds timeout);

}  // namespace chaos::ctl
