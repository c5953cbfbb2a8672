#include "ctl/residue.h"

#include <unistd.h>

#include "ctl/json_text.h"
#include "ctl/local.h"

namespace chaos::ctl {
namespace {

struct ResidueOptions {
  std::string instance;
  std::string runtime_dir;
};

void residue_options(CLI::App& app, ResidueOptions& options) {
  app.add_option("--instance", options.instance, "Of this instance (default: the daemon's, or the default one)")
      ->type_name("NAME");
  app.add_option("--runtime-dir", options.runtime_dir,
                 "Without a daemon: its runtime directory (default: the socket's)")
      ->type_name("DIR");
}

/// Whether the daemon that answers is the one that is asked about. With no answer the caller's own request tells why.
bool speaks_for(Client& client, const std::string& instance) {
  if (instance.empty()) return true;
  const Outcome<Json> health = client.get("/health");
  return health && text_of(*health, "instance") == instance;
}

Outcome<Exit> run_residue(Context& context, const ResidueOptions& options) {
  Outcome<Json> residue = ask_residue(context.client);
  const bool unreachable = !residue && residue.error().exit == Exit::kUnreachable;
  const bool other_instance = residue && !speaks_for(context.client, options.instance);
  if (unreachable || other_instance) {
    std::filesystem::path runtime_dir = options.runtime_dir;
    if (runtime_dir.empty()) runtime_dir = std::filesystem::path(context.client.socket()).parent_path();
    context.err << "chaosctl: "
                << (unreachable ? "the daemon does not answer" : "the daemon that answers is another instance")
                << "; looking for residue on this host directly\n";
    residue = scan_residue(options.instance, runtime_dir);
  }
  if (!residue) return std::unexpected(residue.error());
  if (context.json()) {
    context.print_json(*residue);
  } else {
    print_residue(context, *residue);
  }
  return is_clean(*residue) ? Exit::kDone : Exit::kFailed;
}

}  // namespace

Outcome<Json> ask_residue(Client& client) { return client.get("/api/chaos/residue"); }

bool is_clean(const Json& residue) { return flag_at(residue, "clean"); }

void print_residue(const Context& context, const Json& residue) {
  if (is_clean(residue)) {
    context.out << "Residue: " << context.paint("none", Colour::kGreen) << '\n';
    return;
  }
  context.out << "Residue: " << context.paint("something of chaosd is left", Colour::kRed) << '\n';
  Table table({"CLASS", "ID", "DETAIL"});
  for (const Json& item : list_at(residue, "residue")) {
    table.add({{text_of(item, "class"), Colour::kRed}, {text_of(item, "id")}, {text_of(item, "detail")}});
  }
  context.print(table, "  ");
}

std::vector<Command> residue_commands() {
  return {make_command<ResidueOptions>("residue", "Look for anything of chaosd that was left in kernel or file system",
                                       residue_options, run_residue)};
}

}  // namespace chaos::ctl
