// brake_front: what a command line asks of the emergency stop, told from the words alone. For the front program
// (front.cpp), which runs before any library is loaded: nothing here allocates, throws or locks.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace chaos::ctl {

/// The environment variable that tells chaosctl proper on which descriptor its request has already gone out.
inline constexpr const char* kSentVariable = "CHAOSCTL_SENT";
inline constexpr std::string_view kBrakeReason = "emergency stop by chaosctl";
/// The request up to the length of its body. HTTP/1.0: no chunks and no kept connection, so the end of the answer is
/// the end of the stream.
inline constexpr std::string_view kBrakeHead =
    "POST /api/chaos/emergency-stop HTTP/1.0\r\nHost: localhost\r\nUser-Agent: chaosctl/" CHAOS_VERSION
    "\r\nContent-Type: application/json\r\nContent-Length: ";

struct FrontRequest {
  std::string_view socket;
  std::string_view reason;
};

/// `words`: the command line behind the program's name. `environment_socket`: CHAOSD_SOCKET, null if unset. Empty when
/// this is no emergency stop, or when the words hold anything that takes the whole parser to understand (help, an
/// option unknown or given twice, a reason that JSON would have to escape): then nothing is sent ahead.
[[nodiscard]] std::optional<FrontRequest> front_request(std::span<char* const> words, const char* environment_socket);

/// The HTTP request of an emergency stop, built in place.
class FrontMessage {
 public:
  /// The text is empty when the reason does not fit.
  explicit FrontMessage(std::string_view reason);
  [[nodiscard]] std::string_view text() const { return {bytes_.data(), size_}; }

 private:
  bool append(std::string_view text);
  std::array<char, 2048> bytes_{};
  std::size_t size_ = 0;
};

}  // namespace chaos::ctl
