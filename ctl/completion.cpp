#include "ctl/completion.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>

#include "ctl/app.h"
#include "ctl/json_text.h"
#include "ctl/kinds.h"

namespace chaos::ctl {
namespace {

constexpr std::chrono::milliseconds kPatience{500};

/// Where the cursor is: the command, what of it stands already, and the option whose value is asked for.
struct Position {
  const CLI::App* command = nullptr;
  const CLI::Option* pending = nullptr;
  std::vector<std::string> positionals;
  std::string socket;

  [[nodiscard]] std::string verb() const { return command->get_parent() == nullptr ? "" : command->get_name(); }
};

const CLI::Option* find_option(const CLI::App* command, const std::string& name) {
  for (; command != nullptr; command = command->get_parent()) {
    if (const CLI::Option* option = command->get_option_no_throw(name); option != nullptr) return option;
  }
  return nullptr;
}

bool takes_value(const CLI::Option& option) { return option.get_expected_min() > 0; }

Position find_position(const CommandLine& line, const std::vector<std::string>& words) {
  Position at;
  at.command = &line.app;
  at.socket = line.globals.socket;
  if (const char* socket = std::getenv("CHAOSD_SOCKET"); socket != nullptr) at.socket = socket;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (at.pending != nullptr) {
      if (at.pending->check_lname("socket")) at.socket = word;
      at.pending = nullptr;
    } else if (word.starts_with('-')) {
      const CLI::Option* option = find_option(at.command, word);
      if (option != nullptr && takes_value(*option)) at.pending = option;
    } else if (const CLI::App* sub = find_subcommand(*at.command, word); sub != nullptr) {
      at.command = sub;
    } else {
      at.positionals.push_back(word);
    }
  }
  return at;
}

class Completer {
 public:
  Completer(const Position& at, const std::string& current) : at_(at), current_(current), client_(at.socket) {
    client_.set_timeout(kPatience);
  }

  std::vector<Candidate> run() {
    if (at_.pending != nullptr) {
      option_values();
    } else if (current_.starts_with('-')) {
      for (const CLI::App* app = at_.command; app != nullptr; app = app->get_parent()) option_names(*app);
    } else if (!at_.command->get_subcommands({}).empty()) {
      for (const CLI::App* sub : at_.command->get_subcommands({})) add(sub->get_name(), sub->get_description());
    } else if (at_.positionals.empty()) {
      positional_values();
    }
    return std::move(found_);
  }

 private:
  void add(std::string value, std::string help = {}) {
    if (value.starts_with(current_)) found_.push_back({printable(value), printable(help)});
  }

  void option_names(const CLI::App& app) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) add("--" + name, option->get_description());
      for (const std::string& name : option->get_snames()) add("-" + name, option->get_description());
    }
  }

  void option_values() {
    const CLI::Option& option = *at_.pending;
    if (option.check_lname("output")) {
      add("table", "for people");
      add("json", "for scripts");
    } else if (option.check_lname("target")) {
      targets();
    } else if (option.check_lname("set")) {
      parameters();
    } else if (option.check_lname("severity")) {
      for (const char* level : {"1", "2", "3", "4", "5"}) add(level);
    }
  }

  void positional_values() {
    const std::string verb = at_.verb();
    if (verb == "start" || verb == "plan" || verb == "kinds") {
      kinds();
    } else if (verb == "show" || verb == "stop") {
      scenarios(verb == "show");
    } else if (verb == "completion") {
      for (const char* shell : {"bash", "zsh", "fish"}) add(shell);
    } else if (verb == "log-level") {
      for (const char* level : {"trace", "debug", "info", "warn", "error", "critical"}) add(level);
    }
  }

  void kinds() {
    const auto answer = fetch_kinds(client_);
    if (!answer) return;
    for (const Json& kind : list_at(*answer, "kinds")) add(text_of(kind, "name"), text_of(kind, "help"));
  }

  void scenarios(bool all) {
    const auto answer = client_.get(all ? "/api/chaos/scenarios?all=true" : "/api/chaos/scenarios");
    if (!answer) return;
    for (const Json& scenario : list_at(*answer, "scenarios")) {
      add(text_of(scenario, "id"), text_of(scenario, "kind") + ", " + text_of(scenario, "state"));
    }
  }

  void parameters() {
    const auto answer = fetch_kinds(client_);
    if (!answer || at_.positionals.empty()) return;
    const Json* kind = find_kind(*answer, at_.positionals.front());
    if (kind == nullptr) return;
    for (const Json* list : {&list_at(*kind, "parameters"), &list_at(*answer, "common_parameters")}) {
      for (const Json& parameter : *list) {
        const std::string key = text_of(parameter, "name") + "=";
        if (!current_.starts_with(key)) add(key, text_of(parameter, "help"));
        if (!current_.starts_with(key)) continue;
        for (const Json& choice : list_at(parameter, "choices")) add(key + text_of(choice));
      }
    }
  }

  void targets() {
    if (const std::size_t equals = current_.find('='); equals != std::string::npos) {
      return target_values(current_.substr(0, equals + 1));
    }
    if (at_.verb() == "drops" || at_.verb() == "tcp") {
      for (const char* key : {"service=", "unit=", "cgroup=", "container="}) add(key);
      return;
    }
    if (at_.verb() == "syscalls") {
      for (const char* key : {"service=", "unit=", "cgroup=", "container=", "pid="}) add(key);
      return;
    }
    const auto answer = fetch_kinds(client_);
    const Json* kind = answer && !at_.positionals.empty() ? find_kind(*answer, at_.positionals.front()) : nullptr;
    if (kind == nullptr) return;
    for (const Json& key : list_at(*kind, "targets")) add(text_of(key) + "=");
  }

  void target_values(const std::string& key) {
    if (key == "interface=") directory(key, "/sys/class/net");
    if (key == "host=") add("host=localhost");
    if (key == "netns=") directory(key, "/run/netns");
    if (key == "direction=") {
      for (const char* value : {"egress", "ingress", "both"}) add(key + value);
    }
    if (key == "protocol=") {
      for (const char* value : {"tcp", "udp", "icmp"}) add(key + value);
    }
  }

  void directory(const std::string& key, const std::filesystem::path& path) {
    std::error_code error;
    for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
      add(key + entry->path().filename().string());
    }
  }

  const Position& at_;
  const std::string& current_;
  Client client_;
  std::vector<Candidate> found_;
};

struct CompletionOptions {
  std::string shell;
};

void completion_options(CLI::App& app, CompletionOptions& options) {
  app.add_option("SHELL", options.shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

Outcome<Exit> run_completion(Context& context, const CompletionOptions& options) {
  const std::string_view script = completion_script(options.shell);
  if (context.json()) {
    context.print_json({{"shell", options.shell}, {"script", script}});
  } else {
    context.out << script;
  }
  return Exit::kDone;
}

}  // namespace

std::vector<Candidate> complete(const std::vector<std::string>& words) {
  const CommandLine line;
  const std::string current = words.empty() ? "" : words.back();
  const Position at = find_position(line, words);
  return Completer(at, current).run();
}

Exit print_completions(const std::vector<std::string>& words, std::ostream& out) {
  for (const Candidate& candidate : complete(words)) {
    out << candidate.value << '\t' << candidate.help << '\n';
  }
  return Exit::kDone;
}

std::vector<Command> completion_commands() {
  return {make_command<CompletionOptions>("completion", "Print the completion script for a shell", completion_options,
                                          run_completion)};
}

}  // namespace chaos::ctl
