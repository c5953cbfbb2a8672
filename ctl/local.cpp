#include "ctl/local.h"

#include <unistd.h>

#include "safety/latch.h"
#include "safety/residue.h"
#include "safety/undo_replay.h"

namespace chaos::ctl {

Outcome<Json> scan_residue(const std::string& instance, const std::filesystem::path& runtime_dir) {
  if (::geteuid() != 0) {
    return problem(Errc::kDenied, "without a daemon, only root can look for residue", {}, "root",
                   "run it with sudo, or start chaosd");
  }
  ResidueScope scope;
  if (!instance.empty()) scope.instance = instance;
  scope.runtime_dir = runtime_dir;
  const Result<std::vector<ResidueItem>> found = find_residue(scope);
  if (!found) return std::unexpected(problem_from(found.error()));
  Json items = Json::array();
  for (const ResidueItem& item : *found) {
    items.push_back({{"class", item.cls}, {"id", item.id}, {"detail", item.detail}});
  }
  return Json{{"clean", found->empty()}, {"residue", std::move(items)}};
}

Outcome<Json> replay_journal(const std::filesystem::path& runtime_dir, bool dry_run) {
  const auto replay =
      replay_undo(runtime_dir, dry_run ? ReplayMode::kDryRun : ReplayMode::kAfterDeath, "chaosctl undo");
  if (!replay) return std::unexpected(problem_from(replay.error()));
  return Json(to_json(*replay));
}

Status engage_latch(const std::filesystem::path& state_dir, const std::string& reason) {
  return Latch(state_dir).engage(reason);
}

}  // namespace chaos::ctl
