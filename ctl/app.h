// The command line of chaosctl: builds it from the verb table, runs the chosen command and reports what fails, in one
// place. main() and the tests call run().
#pragma once

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "ctl/command.h"

namespace chaos::ctl {

struct Globals {
  std::string socket{kDefaultSocket};
  std::string output = "table";
  bool no_colour = false;
};

/// The CLI11 tree of all commands; completion reads it as well. Not movable: the options point into it.
class CommandLine {
 public:
  explicit CommandLine(const std::vector<Command>& commands = all_commands());
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  CLI::App app{"Breaks this host on purpose, in small, exact, reversible ways: the client of chaosd", "chaosctl"};
  Globals globals;

  /// The handler of the command that was parsed; empty if there is none.
  [[nodiscard]] Handler chosen() const;

 private:
  std::vector<std::pair<CLI::App*, Handler>> handlers_;
};

/// The sub-command of that name; null if there is none.
[[nodiscard]] const CLI::App* find_subcommand(const CLI::App& app, const std::string& name);

struct Terminal {
  std::ostream& out;
  std::ostream& err;
  bool out_is_tty = false;
  std::size_t columns = 0;  ///< 0: tables are as wide as they come
};

/// Runs `args` (without the program's name). The exit code of the process.
int run(const std::vector<std::string>& args, const Terminal& terminal);

}  // namespace chaos::ctl
