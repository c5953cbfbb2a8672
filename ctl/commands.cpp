#include "ctl/command.h"

#include <iterator>

namespace chaos::ctl {

void Context::print_json(const Json& document) const {
  out << document.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) << '\n';
}

std::string Context::advice(std::string_view verb) const {
  std::string text = "chaosctl ";
  if (socket_given) text += "--socket " + client.socket() + " ";
  return text + std::string(verb);
}

Command make_command(std::string name, std::string help, Outcome<Exit> (*handler)(Context&)) {
  return {std::move(name), std::move(help), [handler](CLI::App&) -> Handler { return handler; }};
}

CLI::Option* add_repeated(CLI::App& app, std::string names, std::vector<std::string>& values, std::string help) {
  // By default CLI11 gives an option of a list every word that follows, the next positional included.
  return app.add_option(std::move(names), values, std::move(help))->expected(1)->take_all()->allow_extra_args(false);
}

std::vector<Command> all_commands() {
  std::vector<Command> all;
  for (const auto group :
       {start_commands, scenario_commands, stop_commands, emergency_commands, kind_commands, service_commands,
        metric_commands, watch_commands, top_commands, event_commands, residue_commands, undo_commands, daemon_commands,
        config_commands, doctor_commands, completion_commands}) {
    std::ranges::move(group(), std::back_inserter(all));
  }
  return all;
}

}  // namespace chaos::ctl
