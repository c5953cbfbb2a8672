// Motd: chaosd's entry in /run/motd.d, which pam_motd(8) shows to who logs in. One thread.
//
// The entry must not outlive chaosd, however that dies, so it is a symlink that leads through chaosd's own directory in
// /proc: /proc/PID/task/TID/../../../../RUNTIME_DIR/motd. With the process the way goes, and pam_motd skips what it
// cannot open. A link to a memfd (/proc/PID/fd/N) would do the same for root alone: pam_motd reads with the rights of
// the user who logs in (linux-pam pull request 269; tried with 1.5.2), to whom /proc/PID/fd is closed. TID is a thread
// beside the main one: it goes at once, while the main one stays until the parent has reaped it; and a pair of numbers
// is hardly ever used again.
// The dangling link and the text are removed by the next start; residue (safety/residue.h) finds both.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace chaos {

class Motd {
 public:
  /// Removes what a dead predecessor of the same instance left, and nothing else.
  Motd(std::string_view instance, const std::filesystem::path& runtime_dir, const std::filesystem::path& motd_dir);
  /// As hide().
  ~Motd();
  Motd(const Motd&) = delete;
  Motd& operator=(const Motd&) = delete;

  /// Shows `text` (64 KiB at most are displayed) in place of what was shown, atomically. Without the directory there is
  /// nobody to show it to: no error. Errors: kRefused if the entry is somebody else's (then it is left alone);
  /// kInternal. Needs write access to both directories.
  Status show(std::string_view text);
  void hide();

 private:
  std::filesystem::path text_;   ///< in the runtime directory
  std::filesystem::path entry_;  ///< in motd.d
};

}  // namespace chaos
