// config check: a configuration file against the schema, offline, with the daemon's own loader.
#include <filesystem>

#include "config/load.h"
#include "ctl/command.h"

namespace chaos::ctl {
namespace {

struct CheckOptions {
  std::string file;
};

void check_options(CLI::App& app, CheckOptions& options) {
  app.add_option("FILE", options.file, "The file, such as /etc/chaosd/chaosd.yaml")->required();
}

Exit worst_exit(const ConfigErrors& errors) {
  for (const Error& error : errors) {
    if (error.code != Errc::kInvalid) return exit_for(error.code);
  }
  return Exit::kUsage;
}

/// One problem document for all errors, each with its own entry.
Problem problem_of(const ConfigErrors& errors) {
  Problem all = problem_from(errors.front());
  all.exit = worst_exit(errors);
  if (errors.size() == 1) return all;
  all.document["errors"] = Json::array();
  for (const Error& error : errors) all.document["errors"].push_back(problem_from(error).document);
  return all;
}

Outcome<Exit> run_check(Context& context, const CheckOptions& options) {
  const auto checked = check_config_file(options.file);
  if (!checked) {
    if (context.json()) return std::unexpected(problem_of(checked.error()));
    for (const Error& error : checked.error()) context.err << render(problem_from(error));
    return worst_exit(checked.error());
  }
  if (context.json()) {
    context.print_json({{"file", options.file},
                        {"ok", true},
                        {"warnings", checked->warnings},
                        {"not_in_effect", checked->not_in_effect}});
    return Exit::kDone;
  }
  context.out << printable(options.file) << ": " << context.paint("OK", Colour::kGreen) << '\n';
  for (const std::string& warning : checked->warnings) {
    context.out << "  " << context.paint("warning", Colour::kYellow) << "  " << printable(warning) << '\n';
  }
  for (const std::string& key : checked->not_in_effect) {
    context.out << "  not in effect yet  " << printable(key) << '\n';
  }
  return Exit::kDone;
}

}  // namespace

std::vector<Command> config_commands() {
  return {make_command<CheckOptions>("config check", "Check a configuration file; needs no daemon", check_options,
                                     run_check)};
}

}  // namespace chaos::ctl
