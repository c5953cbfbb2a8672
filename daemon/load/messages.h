// What chaosd and a load worker tell each other: packets of a SOCK_SEQPACKET pair, a letter and text. Values and one
// system call each; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace chaos::load_message {

/// From chaosd.
inline constexpr char kPrepare = 'P';  ///< the worker is where it shall be: look whether the job can be done
inline constexpr char kGo = 'G';       ///< act, until CLOCK_BOOTTIME reads the number of ns that follows
/// From the worker.
inline constexpr char kReady = 'R';
inline constexpr char kRefused = 'E';  ///< an Error: code, field, rule, hint, message by lines; it ends then
inline constexpr char kFigures = 'F';  ///< name=value by lines
inline constexpr char kRemark = 'W';

struct Message {
  char what = 0;  ///< 0: the other side is gone
  std::string text;
};

/// Does not wait: what does not go now is dropped; false then.
bool send(int socket, char what, std::string_view text = {});
/// Does not wait; empty if there is nothing.
[[nodiscard]] std::optional<Message> receive(int socket);

[[nodiscard]] std::string to_text(const Error& error);
[[nodiscard]] Error error_of(std::string_view text);
[[nodiscard]] std::string to_text(const std::map<std::string, std::string>& figures);
[[nodiscard]] std::map<std::string, std::string> figures_of(std::string_view text);

}  // namespace chaos::load_message
