#include "support/daemon.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>

#include "support/net.h"
#include "support/time_scale.h"

extern char** environ;

namespace chaos::test {
namespace {

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

std::size_t append(char* data, std::size_t size, std::size_t count, void* text) {
  static_cast<std::string*>(text)->append(data, size * count);
  return size * count;
}

}  // namespace

Response http(const std::string& socket, const std::string& method, const std::string& path,
              const std::optional<std::string>& body, const std::vector<std::string>& headers) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
  curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
  for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> owned(list, curl_slist_free_all);
  Response response;
  curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_URL, ("http://chaosd" + path).c_str());
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 60L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &response.text);
  if (body) {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body->size()));
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body->c_str());
  }
  if (curl_easy_perform(curl.get()) == CURLE_OK) {
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &response.status);
  }
  response.body = nlohmann::json::parse(response.text, nullptr, false);
  return response;
}

Daemon::Daemon(Setup setup) : setup_(std::move(setup)) {
  static std::atomic<unsigned> counter{0};
  instance_ = setup_.instance.value_or("test" + std::to_string(getpid()) + "-" + std::to_string(counter++));
  write_config(setup_.config);
  if (setup_.prepare) setup_.prepare(dir_.path());
  start();
}

Daemon::~Daemon() {
  if (pid_ <= 0) return;
  kill(pid_, SIGCONT);
  kill(pid_, SIGTERM);
  int status = 0;
  const bool ended = eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; });
  if (!ended) {
    kill(pid_, SIGKILL);
    waitpid(pid_, &status, 0);
  }
}

void Daemon::write_config(const std::string& text) const { std::ofstream(config_file()) << text; }

std::vector<std::string> Daemon::command_line() const {
  // Should the test be killed, nothing of it runs on.
  std::vector<std::string> arguments{"setpriv", "--pdeathsig", "KILL"};
  arguments.insert(arguments.end(), setup_.wrapper.begin(), setup_.wrapper.end());
  for (const std::string& argument :
       {std::string(CHAOS_BIN_DIR "/chaosd"), std::string("--config"), config_file().string(),
        std::string("--runtime-dir"), runtime_dir().string(), std::string("--state-dir"), state_dir().string(),
        std::string("--instance"), instance_}) {
    arguments.push_back(argument);
  }
  arguments.insert(arguments.end(), setup_.arguments.begin(), setup_.arguments.end());
  return arguments;
}

void Daemon::start() {
  std::vector<std::string> arguments = command_line();
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log_file = (dir_.path() / "log").string();
  posix_spawn_file_actions_addopen(&actions, 1, log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int err = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (err != 0) throw std::runtime_error("start chaosd");
  const bool answers = eventually(
      [&] {
        int status = 0;
        if (waitpid(pid_, &status, WNOHANG) == pid_) {
          pid_ = -1;
          return true;
        }
        return get("/health").status == 200;
      },
      std::chrono::seconds(30));
  if (answers && pid_ > 0) return;
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  throw std::runtime_error("chaosd did not start:\n" + log());
}

void Daemon::signal(int signo) const { kill(pid_, signo); }

int Daemon::wait() {
  int status = 0;
  if (!eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, std::chrono::seconds(20))) {
    throw std::runtime_error("chaosd did not end:\n" + log());
  }
  pid_ = -1;
  return status;
}

int Daemon::stop() {
  signal(SIGTERM);
  return wait();
}

Response Daemon::get(const std::string& path) const { return http(socket(), "GET", path); }

Response Daemon::post(const std::string& path, const nlohmann::json& body) const {
  return http(socket(), "POST", path, body.dump());
}

nlohmann::json Daemon::run_scenario(const nlohmann::json& request) const {
  Response response;
  // A guest that stands still for a second costs chaosd its lease; the answer says to try again.
  (void)eventually([&] {
    response = post("/api/chaos/scenarios", request);
    return time_scale() <= 1 || response.status != 503 || response.body.value("rule", "") != "lease";
  });
  if (response.status != 201) throw std::runtime_error("start: " + response.text + "\n" + log());
  return response.body;
}

nlohmann::json Daemon::stop_scenario(const std::string& id) const {
  const Response response = post("/api/chaos/scenarios/" + id + "/stop");
  if (response.status != 200) throw std::runtime_error("stop: " + response.text + "\n" + log());
  return response.body;
}

nlohmann::json Daemon::scenario(const std::string& id) const {
  const Response response = get("/api/chaos/scenarios/" + id);
  if (response.status != 200) throw std::runtime_error("show: " + response.text);
  return response.body;
}

std::string Daemon::log() const { return read_all(dir_.path() / "log"); }

}  // namespace chaos::test
