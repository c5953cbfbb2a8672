#include "ctl/client.h"

#include <sys/un.h>

#include <cerrno>
#include <filesystem>

#include <fmt/format.h>

#include "ctl/transport.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kBodyLimit = std::size_t{64} << 20;

std::size_t append_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& body = *static_cast<std::string*>(user);
  const std::size_t bytes = size * count;
  if (body.size() + bytes > kBodyLimit) return 0;
  body.append(data, bytes);
  return bytes;
}

}  // namespace

struct Client::Request {
  std::string path;
  const Json* body = nullptr;  ///< null: GET
  std::vector<std::string> headers{};
};

Client::Client(std::string socket) : socket_(std::move(socket)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
void Client::EasyDeleter::operator()(void* easy) const { curl()->easy_cleanup(easy); }

Outcome<Json> Client::get(const std::string& path) { return perform({path}); }

Outcome<Json> Client::post(const std::string& path, const Json& body, const std::vector<std::string>& headers) {
  return perform({path, &body, headers});
}

std::string Client::view_socket() const {
  constexpr std::string_view kName = "chaosd-view.sock";
  const std::filesystem::path path(socket_);
  return path.filename() == kName ? std::string() : (path.parent_path() / kName).string();
}

Outcome<Json> Client::perform(const Request& request) {
  Outcome<Json> answer = perform_on(socket_, request);
  if (answer || answer.error().sys_errno != EACCES || request.body != nullptr || view_socket().empty()) return answer;
  Outcome<Json> viewed = perform_on(view_socket(), request);
  // Without a view socket the first answer, with its advice on groups, tells more.
  return viewed || viewed.error().sys_errno == 0 ? viewed : answer;
}

Outcome<Json> Client::perform_on(const std::string& socket, const Request& request) {
  const Curl* loaded = curl();
  if (loaded != nullptr && !easy_) easy_.reset(loaded->easy_init());
  if (!easy_) return std::unexpected(no_curl());
  const Curl& lib = *loaded;
  lib.easy_reset(easy_.get());
  if (auto prepared = prepare(lib, easy_.get(), socket, request.path); !prepared)
    return std::unexpected(prepared.error());
  std::string answer;
  lib.easy_setopt(easy_.get(), CURLOPT_WRITEFUNCTION, append_body);
  lib.easy_setopt(easy_.get(), CURLOPT_WRITEDATA, &answer);
  lib.easy_setopt(easy_.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_.count()));

  HeaderList headers(lib);
  std::string body;
  if (request.body != nullptr) {
    body = request.body->dump(-1, ' ', false, Json::error_handler_t::replace);
    lib.easy_setopt(easy_.get(), CURLOPT_POSTFIELDS, body.c_str());
    lib.easy_setopt(easy_.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    headers.add("Content-Type: application/json");
    headers.add("Expect:");  // no "100-continue" round trip
  }
  for (const std::string& header : request.headers) headers.add(header);
  headers.add("Accept: application/json, application/problem+json");
  lib.easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, headers.get());

  const CURLcode code = perform_until(lib, easy_.get(), interrupt_fd_);
  if (code == CURLE_ABORTED_BY_CALLBACK) return std::unexpected(interrupted_problem());
  if (code != CURLE_OK) return std::unexpected(transport_problem(lib, easy_.get(), code, socket, timeout_));
  long status = 0;
  lib.easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
  return parse_answer(status, answer);
}

std::string url_escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                            c == '.' || c == '_' || c == '~';
    if (unreserved) {
      escaped += c;
    } else {
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

}  // namespace chaos::ctl
