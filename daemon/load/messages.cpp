#include "load/messages.h"

#include <sys/socket.h>

#include <array>
#include <vector>

#include "base/units.h"

namespace chaos::load_message {
namespace {

constexpr std::size_t kLongest = 2048;

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

bool send(int socket, char what, std::string_view text) {
  const std::string packet = what + std::string(text.substr(0, kLongest - 1));
  return ::send(socket, packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(packet.size());
}

std::optional<Message> receive(int socket) {
  std::array<char, kLongest> packet{};
  const ssize_t size = ::recv(socket, packet.data(), packet.size(), MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  if (size <= 0) return Message{};
  return Message{packet[0], std::string(packet.data() + 1, static_cast<std::size_t>(size) - 1)};
}

std::string to_text(const Error& error) {
  return std::to_string(static_cast<int>(error.code)) + "\n" + error.field + "\n" + error.rule + "\n" + error.hint +
         "\n" + error.message + "\n";
}

Error error_of(std::string_view text) {
  std::vector<std::string> lines = lines_of(text);
  lines.resize(5);
  Error error;
  const auto code = parse_unsigned(lines[0]);
  if (code && *code <= static_cast<std::uint64_t>(Errc::kInternal)) error.code = static_cast<Errc>(*code);
  error.field = lines[1];
  error.rule = lines[2];
  error.hint = lines[3];
  error.message = lines[4];
  return error;
}

std::string to_text(const std::map<std::string, std::string>& figures) {
  std::string text;
  for (const auto& [name, value] : figures) text.append(name).append("=").append(value).append("\n");
  return text;
}

std::map<std::string, std::string> figures_of(std::string_view text) {
  std::map<std::string, std::string> figures;
  for (const std::string& line : lines_of(text)) {
    const std::size_t equals = line.find('=');
    if (equals != std::string::npos) figures[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return figures;
}

}  // namespace chaos::load_message
