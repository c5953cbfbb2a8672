#include "ctl/brake_front.h"

#include <algorithm>
#include <charconv>

#include "ctl/socket_path.h"

namespace chaos::ctl {
namespace {

constexpr std::string_view kCommand = "emergency-stop";
constexpr std::size_t kReasonLimit = 1024;

/// Stands in a JSON string as it is.
bool plain(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
}

/// The options that take a value: "--name VALUE" or "--name=VALUE".
enum class Option { kSocket, kOutput, kReason, kRuntimeDir, kStateDir, kNone };

struct Name {
  std::string_view text;
  Option option;
  bool of_command;  ///< stands behind the command only
};

constexpr std::array kNames{
    Name{"--socket", Option::kSocket, false},
    Name{"--output", Option::kOutput, false},
    Name{"-o", Option::kOutput, false},
    Name{"--reason", Option::kReason, true},
    Name{"--runtime-dir", Option::kRuntimeDir, true},
    Name{"--state-dir", Option::kStateDir, true},
};

/// The command line, word by word.
struct Reader {
  std::span<char* const> words;
  bool is_stop = false;
  std::array<std::string_view, static_cast<std::size_t>(Option::kNone)> values{};

  [[nodiscard]] std::string_view& value(Option option) { return values[static_cast<std::size_t>(option)]; }

  std::string_view next() {
    const std::string_view word = words.front();
    words = words.subspan(1);
    return word;
  }

  /// False: not understood.
  bool read_word() {
    const std::string_view word = next();
    if (word == "--no-color") return true;
    if (word == kCommand && !is_stop) {
      is_stop = true;
      return true;
    }
    const std::size_t equals = word.starts_with("--") ? word.find('=') : std::string_view::npos;
    const auto* name = std::ranges::find(kNames, word.substr(0, equals), &Name::text);
    if (name == kNames.end() || (name->of_command && !is_stop)) return false;
    std::string_view given;
    if (equals != std::string_view::npos) {
      given = word.substr(equals + 1);
    } else if (!words.empty()) {
      given = next();
    }
    std::string_view& value_of = value(name->option);
    if (given.empty() || given.starts_with('-') || !value_of.empty()) return false;
    value_of = given;
    return true;
  }
};

}  // namespace

std::optional<FrontRequest> front_request(std::span<char* const> words, const char* environment_socket) {
  Reader reader{words};
  while (!reader.words.empty()) {
    if (!reader.read_word()) return std::nullopt;
  }
  if (!reader.is_stop) return std::nullopt;
  const std::string_view output = reader.value(Option::kOutput);
  if (!output.empty() && output != "json" && output != "table") return std::nullopt;
  const std::string_view reason = reader.value(Option::kReason);
  if (reason.size() > kReasonLimit || !plain(reason)) return std::nullopt;
  FrontRequest request{kDefaultSocket, reason.empty() ? kBrakeReason : reason};
  if (const std::string_view socket = reader.value(Option::kSocket); !socket.empty()) {
    request.socket = socket;
  } else if (environment_socket != nullptr && *environment_socket != '\0') {
    request.socket = environment_socket;
  }
  return request;
}

bool FrontMessage::append(std::string_view text) {
  if (text.size() > bytes_.size() - size_) return false;
  std::ranges::copy(text, bytes_.begin() + static_cast<std::ptrdiff_t>(size_));
  size_ += text.size();
  return true;
}

FrontMessage::FrontMessage(std::string_view reason) {
  constexpr std::string_view kBefore = R"({"reason":")";
  constexpr std::string_view kAfter = R"("})";
  std::array<char, 8> digits{};
  const std::size_t length = kBefore.size() + reason.size() + kAfter.size();
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), length).ptr;
  const bool fits = append(kBrakeHead) && append({digits.data(), static_cast<std::size_t>(end - digits.data())}) &&
                    append("\r\n\r\n") && append(kBefore) && append(reason) && append(kAfter);
  if (!fits) size_ = 0;
}

}  // namespace chaos::ctl
