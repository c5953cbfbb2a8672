#include "ctl/app.h"

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "ctl/completion.h"
#include "ctl/kinds.h"

namespace chaos::ctl {
namespace {

bool wants_json(const std::vector<std::string>& args) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "-ojson" || args[i] == "--output=json") return true;
    if ((args[i] == "-o" || args[i] == "--output") && i + 1 < args.size() && args[i + 1] == "json") return true;
  }
  return false;
}

Exit report(const Problem& failure, bool json, std::ostream& err) {
  if (json) {
    err << failure.document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
  } else {
    err << render(failure);
  }
  return failure.exit;
}

Context make_context(const CommandLine& line, const Terminal& terminal) {
  const Globals& globals = line.globals;
  const bool colour_allowed = !globals.no_colour && std::getenv("NO_COLOR") == nullptr;
  return {terminal.out,
          terminal.err,
          globals.output == "json" ? Format::kJson : Format::kTable,
          terminal.out_is_tty && colour_allowed,
          terminal.columns,
          line.app.get_option("--socket")->count() > 0,
          Client(globals.socket)};
}

/// The help of the command that was parsed so far, with the kind's parameters where one is named.
void print_help(CommandLine& line, const Terminal& terminal) {
  terminal.out << line.app.help();
  for (const CLI::App* command : line.app.get_subcommands()) {
    const CLI::Option* kind = command->get_option_no_throw("KIND");
    if (kind == nullptr || kind->count() == 0) continue;
    Context context = make_context(line, terminal);
    print_kind_help(context, kind->results().front());
  }
}

Exit run_chosen(const CommandLine& line, const Terminal& terminal) {
  Context context = make_context(line, terminal);
  const Outcome<Exit> outcome = line.chosen()(context);
  terminal.out.flush();
  if (!outcome) return report(outcome.error(), context.json(), terminal.err);
  if (!terminal.out) {
    return report(problem(Errc::kInternal, "the output could not be written").error(), context.json(), terminal.err);
  }
  return *outcome;
}

/// The last command named: where --help tells more.
std::string help_command(const CLI::App& app) {
  const CLI::App* at = &app;
  std::string text = "chaosctl";
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    text += " " + at->get_name();
  }
  return text + " --help";
}

}  // namespace

CommandLine::CommandLine(const std::vector<Command>& commands) {
  app.add_option("--socket", globals.socket, "The daemon's Unix socket")
      ->envname("CHAOSD_SOCKET")
      ->type_name("PATH")
      ->capture_default_str();
  app.add_option("-o,--output", globals.output, "How to print: table for people, json for scripts (one document)")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.add_flag("--no-color", globals.no_colour, "No colour, even on a terminal (as NO_COLOR in the environment)");
  app.set_version_flag("--version", "chaosctl " CHAOS_VERSION);
  app.require_subcommand(1, 1);
  for (const Command& command : commands) {
    CLI::App* parent = &app;
    std::string name = command.name;
    if (const std::size_t blank = name.find(' '); blank != std::string::npos) {
      const std::string group = name.substr(0, blank);
      name = name.substr(blank + 1);
      parent = find_subcommand(app, group) != nullptr ? app.get_subcommand(group)
                                                      : app.add_subcommand(group, "Work with " + group + " files");
      parent->require_subcommand(1, 1);
      parent->fallthrough();
    }
    CLI::App* sub = parent->add_subcommand(name, command.help);
    sub->fallthrough();  // --socket and -o may stand behind the verb as well
    handlers_.emplace_back(sub, command.define(*sub));
  }
}

Handler CommandLine::chosen() const {
  const auto found = std::ranges::find_if(handlers_, [](const auto& entry) { return entry.first->parsed(); });
  return found != handlers_.end() ? found->second : Handler{};
}

const CLI::App* find_subcommand(const CLI::App& app, const std::string& name) {
  const std::vector<const CLI::App*> all = app.get_subcommands([](const CLI::App*) { return true; });
  const auto found = std::ranges::find(all, name, &CLI::App::get_name);
  return found != all.end() ? *found : nullptr;
}

namespace {

/// An emergency stop does not wait until the options of twenty other commands are set up. Empty: it is none, or not
/// one that parses.
std::optional<Exit> run_brake(const std::vector<std::string>& args, const Terminal& terminal) {
  if (std::ranges::find(args, "emergency-stop") == args.end()) return std::nullopt;
  CommandLine line(emergency_commands());
  try {
    line.app.parse(std::vector<std::string>(args.rbegin(), args.rend()));
  } catch (const CLI::Error&) {
    return std::nullopt;
  }
  return run_chosen(line, terminal);
}

}  // namespace

int run(const std::vector<std::string>& args, const Terminal& terminal) {
  if (const auto exit = run_brake(args, terminal)) return static_cast<int>(*exit);
  if (!args.empty() && args.front() == kCompleteVerb) {
    return static_cast<int>(print_completions({args.begin() + 1, args.end()}, terminal.out));
  }
  CommandLine line;
  try {
    std::vector<std::string> reversed(args.rbegin(), args.rend());
    line.app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    print_help(line, terminal);
    return static_cast<int>(Exit::kDone);
  } catch (const CLI::CallForVersion& version) {
    terminal.out << version.what() << '\n';
    return static_cast<int>(Exit::kDone);
  } catch (const CLI::ParseError& error) {
    const auto usage = problem(Errc::kInvalid, error.what(), {}, {}, help_command(line.app) + " tells more");
    return static_cast<int>(report(usage.error(), wants_json(args), terminal.err));
  }
  return static_cast<int>(run_chosen(line, terminal));
}

}  // namespace chaos::ctl
