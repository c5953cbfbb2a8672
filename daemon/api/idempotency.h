// IdempotencyTable: a POST that is sent again with the same Idempotency-Key gets the first one's answer instead of a
// second effect (draft-ietf-httpapi-idempotency-key-header). Loop thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "api/http.h"
#include "base/clock.h"

namespace chaos {

class IdempotencyTable {
 public:
  struct Options {
    std::chrono::nanoseconds keep = std::chrono::minutes(10);
    std::size_t capacity = 1024;  ///< the oldest answered entry makes room
  };
  explicit IdempotencyTable(const Clock& clock) : IdempotencyTable(clock, Options{}) {}
  IdempotencyTable(const Clock& clock, Options options);
  ~IdempotencyTable();

  /// Calls `handler`, or answers in its stead: with the stored response and `Idempotency-Replayed: true`; with that of
  /// a request that is still under way, once it is there; with 422 if the key came with another request; with 400 for
  /// a key that is not 1-255 visible ASCII characters; with 503 if the table is full of unanswered requests. Keys of
  /// different uids are different keys. Answers of 500 and above are not kept: nothing was done, try again.
  /// Without the header: just calls.
  void run(const HttpRequest& request, const Handler& handler, Respond respond);
  [[nodiscard]] std::size_t size() const;

 private:
  struct State;
  std::shared_ptr<State> state_;  ///< shared with the answers under way, which may outlive the table
};

}  // namespace chaos
