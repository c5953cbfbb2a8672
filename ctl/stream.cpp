// Client::stream: an event stream by curl's multi interface, so that a signal ends the wait at once.
#include <poll.h>

#include <algorithm>
#include <optional>

#include "ctl/client.h"
#include "ctl/transport.h"

namespace chaos::ctl {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct MultiDeleter {
  void operator()(CURLM* multi) const { curl()->multi_cleanup(multi); }
};

constexpr std::size_t kProblemLimit = std::size_t{64} << 10;
constexpr std::chrono::milliseconds kOpenTimeout{10'000};

}  // namespace

/// One open stream: what has come in and how it is to end.
struct Client::Stream {
  const Curl& lib;
  CURL* easy;
  const StreamHooks& hooks;
  SseParser parser;
  bool opened = false;   ///< the server has answered 200
  bool ended = false;    ///< a hook has said so
  bool garbled = false;  ///< not an event stream
  std::string refusal{};
  SteadyClock::time_point asked = SteadyClock::now();
  SteadyClock::time_point next_tick = asked;

  Stream(const Curl& curl, CURL* handle, const StreamHooks& stream_hooks)
      : lib(curl), easy(handle), hooks(stream_hooks), parser([this](const SseEvent& event) {
          if (!ended && !hooks.on_event(event)) ended = true;
        }) {}

  static std::size_t on_header(char*, std::size_t size, std::size_t count, void* user) {
    auto& self = *static_cast<Stream*>(user);
    if (self.status() == 200 && !self.opened) {
      self.opened = true;
      self.next_tick = SteadyClock::now();
    }
    return size * count;
  }

  static std::size_t on_data(char* data, std::size_t size, std::size_t count, void* user) {
    auto& self = *static_cast<Stream*>(user);
    const std::string_view bytes(data, size * count);
    if (self.opened) {
      self.garbled = !self.parser.feed(bytes);
      return self.garbled ? 0 : bytes.size();
    }
    self.refusal.append(bytes.substr(0, kProblemLimit - std::min(kProblemLimit, self.refusal.size())));
    return bytes.size();
  }

  [[nodiscard]] long status() const {
    long code = 0;
    lib.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }

  /// Runs the tick if it is due. The time until something is due next.
  [[nodiscard]] std::chrono::milliseconds run_tick() {
    const auto now = SteadyClock::now();
    if (!opened) return std::chrono::milliseconds(250);
    if (now >= next_tick && !ended) {
      next_tick = now + hooks.tick;
      if (hooks.on_tick && !hooks.on_tick()) ended = true;
    }
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(next_tick - now), std::chrono::milliseconds(1));
  }

  [[nodiscard]] bool never_opened() const { return !opened && SteadyClock::now() - asked >= kOpenTimeout; }
};

Outcome<Client::StreamEnd> Client::stream(const std::string& path, const std::string& last_event_id,
                                          const StreamHooks& hooks) {
  auto end = stream_on(socket_, path, last_event_id, hooks);
  if (end || end.error().sys_errno != EACCES || view_socket().empty()) return end;
  auto viewed = stream_on(view_socket(), path, last_event_id, hooks);
  return viewed || viewed.error().sys_errno == 0 ? viewed : end;
}

Outcome<Client::StreamEnd> Client::stream_on(const std::string& socket, const std::string& path,
                                             const std::string& last_event_id, const StreamHooks& hooks) {
  const Curl* loaded = curl();
  if (loaded == nullptr) return std::unexpected(no_curl());
  const Curl& lib = *loaded;
  const std::unique_ptr<CURL, EasyDeleter> easy(lib.easy_init());
  const std::unique_ptr<CURLM, MultiDeleter> multi(lib.multi_init());
  if (!easy || !multi) return std::unexpected(no_curl());
  if (auto prepared = prepare(lib, easy.get(), socket, path); !prepared) return std::unexpected(prepared.error());
  Stream state(lib, easy.get(), hooks);
  HeaderList headers(lib);
  headers.add("Accept: text/event-stream, application/problem+json");
  if (!last_event_id.empty()) headers.add("Last-Event-ID: " + last_event_id);
  lib.easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
  lib.easy_setopt(easy.get(), CURLOPT_HEADERFUNCTION, Stream::on_header);
  lib.easy_setopt(easy.get(), CURLOPT_HEADERDATA, &state);
  lib.easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, Stream::on_data);
  lib.easy_setopt(easy.get(), CURLOPT_WRITEDATA, &state);
  lib.multi_add_handle(multi.get(), easy.get());
  struct Removal {
    const Curl& lib;
    CURLM* from;
    CURL* what;
    ~Removal() { lib.multi_remove_handle(from, what); }
  } const removal{lib, multi.get(), easy.get()};

  for (;;) {
    int running = 0;
    lib.multi_perform(multi.get(), &running);
    const std::chrono::milliseconds wait = state.run_tick();
    if (state.ended) return StreamEnd::kEndedByHook;
    if (running == 0) break;
    if (state.never_opened()) {
      return std::unexpected(transport_problem(lib, easy.get(), CURLE_OPERATION_TIMEDOUT, socket, kOpenTimeout));
    }
    curl_waitfd interrupt{hooks.interrupt_fd, CURL_WAIT_POLLIN, 0};
    const unsigned extra = hooks.interrupt_fd >= 0 ? 1 : 0;
    lib.multi_poll(multi.get(), &interrupt, extra, static_cast<int>(wait.count()), nullptr);
    if (interrupt.revents != 0) return StreamEnd::kInterrupted;
  }

  int left = 0;
  const CURLMsg* message = lib.multi_info_read(multi.get(), &left);
  if (state.garbled) return problem(Errc::kInternal, "the daemon's event stream is garbled");
  if (message != nullptr && message->data.result != CURLE_OK && !state.opened) {
    return std::unexpected(transport_problem(lib, easy.get(), message->data.result, socket, kOpenTimeout));
  }
  if (!state.opened) return std::unexpected(problem_from_response(state.status(), state.refusal));
  return StreamEnd::kClosed;
}

}  // namespace chaos::ctl
