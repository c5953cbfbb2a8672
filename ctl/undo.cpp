// undo: replays the undo journal by hand: after a chaosd and its guardian that died together, or to see what is on
// record. systemd's ExecStopPost= calls it too.
#include <unistd.h>

#include <fmt/format.h>

#include "ctl/brake.h"
#include "ctl/command.h"
#include "ctl/json_text.h"
#include "ctl/local.h"

namespace chaos::ctl {
namespace {

struct UndoOptions {
  bool dry_run = false;
  std::string runtime_dir;
};

void undo_options(CLI::App& app, UndoOptions& options) {
  app.add_flag("--dry-run", options.dry_run, "Only tell what is on record and what would be done");
  app.add_option("--runtime-dir", options.runtime_dir, "The daemon's runtime directory (default: the socket's)")
      ->type_name("DIR");
}

void print_replay(const Context& context, const Json& replay, bool dry_run) {
  const Json& changes = list_at(replay, "changes");
  if (changes.empty() && flag_at(replay, "complete")) {
    context.out << "Nothing to undo: no change of chaosd's is on record.\n";
    return;
  }
  Table table({"CHANGE", dry_run ? "WOULD BE" : "OUTCOME", "DETAIL"});
  for (const Json& change : changes) {
    const std::string outcome = text_of(change, "outcome");
    const Colour colour = outcome == "failed" ? Colour::kRed : outcome == "conflict" ? Colour::kYellow : Colour::kGreen;
    table.add({{text_of(change, "change")}, {outcome, colour}, {text_of(change, "detail")}});
  }
  context.print(table);
  if (!flag_at(replay, "complete")) {
    context.out << context.paint("The journal is NOT settled: what failed may still be there.", Colour::kRed) << '\n';
  }
}

Outcome<Exit> run_undo(Context& context, const UndoOptions& options) {
  if (::geteuid() != 0) {
    return problem(Errc::kDenied, "only root can read the undo journal", {}, "root", "sudo " + context.advice("undo"));
  }
  std::filesystem::path runtime_dir = options.runtime_dir;
  if (runtime_dir.empty()) runtime_dir = std::filesystem::path(context.client.socket()).parent_path();
  // By the pid file alone: with socket activation it is systemd that listens.
  const auto daemon = find_daemon(runtime_dir, "");
  if (daemon && !options.dry_run) {
    return problem(Errc::kRefused,
                   fmt::format("chaosd (pid {}) is running, and its scenarios need what is on record", daemon->pid), {},
                   "undo is for a chaosd that has ended",
                   context.advice("stop --all") + ", or emergency-stop if it hangs");
  }
  const Outcome<Json> replay = replay_journal(runtime_dir, options.dry_run);
  if (!replay) return std::unexpected(replay.error());
  if (context.json()) {
    context.print_json(*replay);
  } else {
    print_replay(context, *replay, options.dry_run);
  }
  return flag_at(*replay, "complete") ? Exit::kDone : Exit::kFailed;
}

}  // namespace

std::vector<Command> undo_commands() {
  return {make_command<UndoOptions>("undo", "Undo what a chaosd that has died left on record; works without a daemon",
                                    undo_options, run_undo)};
}

}  // namespace chaos::ctl
