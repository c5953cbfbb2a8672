// The event stream of chaosctl: the events do not depend on how the bytes arrive.
#include <fuzzer/FuzzedDataProvider.h>

#include <string>
#include <vector>

#include "check.h"
#include "ctl/sse.h"

namespace {

struct Seen {
  std::string events;
  bool good = true;
};

class Listener {
 public:
  void feed(std::string_view bytes) {
    if (seen_.good) seen_.good = parser_.feed(bytes);
  }
  [[nodiscard]] const Seen& seen() const { return seen_; }

 private:
  Seen seen_;
  chaos::ctl::SseParser parser_{[this](const chaos::ctl::SseEvent& event) {
    for (const std::string* part : {&event.id, &event.type, &event.data}) seen_.events += *part + '\0';
  }};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider input(data, size);
  const auto step = input.ConsumeIntegralInRange<std::size_t>(1, 64);
  const std::string bytes = input.ConsumeRemainingBytesAsString();
  Listener whole;
  whole.feed(bytes);
  Listener parts;
  for (std::size_t at = 0; at < bytes.size(); at += step) parts.feed(std::string_view(bytes).substr(at, step));
  FUZZ_CHECK(whole.seen().events == parts.seen().events);
  FUZZ_CHECK(whole.seen().good == parts.seen().good);
  return 0;
}
