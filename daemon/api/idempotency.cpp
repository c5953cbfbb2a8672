#include "api/idempotency.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/problem.h"

namespace chaos {
namespace {

constexpr std::size_t kMaxKey = 255;
constexpr int kFirstUnkept = 500;

bool is_key(std::string_view text) {
  return !text.empty() && text.size() <= kMaxKey &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < 127; });
}

/// Length and hash stand for the request: a collision needs the caller to want one, and only fools itself.
struct Fingerprint {
  std::string line;
  std::size_t length = 0;
  std::size_t hash = 0;
  friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

Fingerprint fingerprint_of(const HttpRequest& request) {
  std::string line = request.method + " " + request.path;
  for (const auto& [name, value] : request.query) line += fmt::format("&{}={}", name, value);
  return {std::move(line), request.body.size(), std::hash<std::string>{}(request.body)};
}

HttpResponse replayed(const HttpResponse& stored) {
  HttpResponse response = stored;
  response.stream = nullptr;
  response.headers.emplace_back("Idempotency-Replayed", "true");
  return response;
}

HttpResponse reused_key(const std::string& request_id) {
  return problem_response(Problem{.status = 422,
                                  .name = "idempotency-key-reused",
                                  .title = "The idempotency key belongs to another request",
                                  .error = {.message = "this Idempotency-Key came with another request before",
                                            .field = "Idempotency-Key",
                                            .rule = "one key, one request",
                                            .hint = "choose a new key for a new request"}},
                          request_id);
}

}  // namespace

struct IdempotencyTable::State {
  using Key = std::pair<uid_t, std::string>;
  struct Entry {
    Fingerprint fingerprint;
    std::chrono::nanoseconds made{};
    std::optional<HttpResponse> response;
    std::vector<Respond> waiting;
    std::list<Key>::iterator order;
  };

  State(const Clock& c, Options o) : clock(c), options(o) {}

  const Clock& clock;
  Options options;
  std::map<Key, Entry> entries;
  std::list<Key> by_age;

  std::map<Key, Entry>::iterator erase(std::map<Key, Entry>::iterator entry) {
    by_age.erase(entry->second.order);
    return entries.erase(entry);
  }

  /// Answered entries only: one under way ends with its answer.
  void forget_old() {
    const auto now = clock.monotonic();
    for (auto key = by_age.begin(); key != by_age.end();) {
      const auto entry = entries.find(*key++);
      if (now - entry->second.made < options.keep) return;
      if (entry->second.response) erase(entry);
    }
  }

  bool make_room() {
    if (entries.size() < options.capacity) return true;
    for (const auto& key : by_age) {
      const auto entry = entries.find(key);
      if (!entry->second.response) continue;
      erase(entry);
      return true;
    }
    return false;
  }

  void complete(const Key& key, const HttpResponse& response) {
    const auto entry = entries.find(key);
    if (entry == entries.end()) return;
    auto waiting = std::move(entry->second.waiting);
    entry->second.waiting.clear();
    if (response.status < kFirstUnkept) {
      entry->second.response = response;
    } else {
      erase(entry);
    }
    for (auto& respond : waiting) respond(replayed(response));
  }
};

IdempotencyTable::IdempotencyTable(const Clock& clock, Options options)
    : state_(std::make_shared<State>(clock, options)) {}

IdempotencyTable::~IdempotencyTable() = default;

std::size_t IdempotencyTable::size() const { return state_->entries.size(); }

void IdempotencyTable::run(const HttpRequest& request, const Handler& handler, Respond respond) {
  const auto header = request.headers.find("idempotency-key");
  if (header == request.headers.end()) return handler(request, std::move(respond));
  if (!is_key(header->second)) {
    return respond(problem_response(Error{.code = Errc::kInvalid,
                                          .message = "the Idempotency-Key is malformed",
                                          .field = "Idempotency-Key",
                                          .rule = "1 to 255 visible ASCII characters",
                                          .hint = "a UUID will do"},
                                    request.request_id));
  }
  State& state = *state_;
  state.forget_old();
  const State::Key key{request.caller.uid, header->second};
  Fingerprint fingerprint = fingerprint_of(request);
  if (const auto known = state.entries.find(key); known != state.entries.end()) {
    State::Entry& entry = known->second;
    if (entry.fingerprint != fingerprint) return respond(reused_key(request.request_id));
    if (entry.response) return respond(replayed(*entry.response));
    entry.waiting.push_back(std::move(respond));
    return;
  }
  if (!state.make_room()) {
    return respond(problem_response(Error{.code = Errc::kUnavailable,
                                          .message = "too many requests with an Idempotency-Key are under way",
                                          .rule = "max " + std::to_string(state.options.capacity),
                                          .hint = "wait for some of them to be answered"},
                                    request.request_id));
  }
  State::Entry& entry = state.entries[key];
  entry.fingerprint = std::move(fingerprint);
  entry.made = state.clock.monotonic();
  entry.order = state.by_age.insert(state.by_age.end(), key);
  handler(request, [weak = std::weak_ptr(state_), key, inner = std::move(respond)](HttpResponse response) mutable {
    if (const auto alive = weak.lock()) alive->complete(key, response);
    inner(std::move(response));
  });
}

}  // namespace chaos
