// Command: one verb of chaosctl: name, help, options and what it does. The verb table (commands.cpp) lists the groups;
// each group is one file. Handlers run on the main thread and print through Context; what fails they return, and
// app.cpp prints it.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "ctl/client.h"
#include "ctl/problem.h"
#include "ctl/table.h"
#include "ctl/text.h"

namespace chaos::ctl {

enum class Format { kTable, kJson };

/// What a handler works with: where to print, how, and the daemon.
struct Context {
  std::ostream& out;
  std::ostream& err;
  Format format = Format::kTable;
  bool colour = false;
  std::size_t columns = 0;    ///< of the terminal; 0: it is none, and nothing is folded
  bool socket_given = false;  ///< by --socket or CHAOSD_SOCKET
  Client client;

  [[nodiscard]] bool json() const { return format == Format::kJson; }
  void print_json(const Json& document) const;
  void print(const Table& table, std::string_view indent = {}) const {
    table.print(out, {.colour = colour, .columns = columns, .indent = indent});
  }
  [[nodiscard]] std::string paint(std::string_view text, Colour hue) const { return ctl::paint(text, hue, colour); }
  /// "chaosctl VERB", with --socket where one was given: a command that the user can copy.
  [[nodiscard]] std::string advice(std::string_view verb) const;
};

using Handler = std::function<Outcome<Exit>(Context&)>;

struct Command {
  std::string name;  ///< "config check": verb of a group
  std::string help;
  /// Adds the options to its sub-command and returns what runs once they are parsed.
  std::function<Handler(CLI::App&)> define;
};

/// A command whose options land in an `Options`.
template <class Options>
Command make_command(std::string name, std::string help, void (*options)(CLI::App&, Options&),
                     Outcome<Exit> (*handler)(Context&, const Options&)) {
  return {std::move(name), std::move(help), [options, handler](CLI::App& app) -> Handler {
            auto values = std::make_shared<Options>();
            options(app, *values);
            return [values, handler](Context& context) { return handler(context, *values); };
          }};
}

struct NoOptions {};
Command make_command(std::string name, std::string help, Outcome<Exit> (*handler)(Context&));

/// An option that may be repeated and takes one value each time.
CLI::Option* add_repeated(CLI::App& app, std::string names, std::vector<std::string>& values, std::string help);

// The groups, in the order of the help.
std::vector<Command> start_commands();
std::vector<Command> scenario_commands();
std::vector<Command> stop_commands();
std::vector<Command> emergency_commands();
std::vector<Command> kind_commands();
std::vector<Command> event_commands();
std::vector<Command> service_commands();
std::vector<Command> metric_commands();
std::vector<Command> top_commands();
std::vector<Command> watch_commands();
std::vector<Command> residue_commands();
std::vector<Command> undo_commands();
std::vector<Command> daemon_commands();
std::vector<Command> config_commands();
std::vector<Command> doctor_commands();
std::vector<Command> completion_commands();

[[nodiscard]] std::vector<Command> all_commands();

}  // namespace chaos::ctl
