#include "safety/journaled_value.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

namespace chaos {
namespace {

bool is_gone(int err) { return err == ENOENT || err == ENODEV || err == ENOTDIR; }

std::unexpected<Error> failure(const std::string& what, const std::string& path) {
  if (is_gone(errno)) return fail(Errc::kNotFound, path + " is gone");
  return fail_errno(what + " " + path);
}

}  // namespace

Result<JournaledValue> JournaledValue::open(UndoJournal& journal, const ValuePlace& place, std::string value) {
  FileValueChanged action;
  action.path = place.path;
  action.key = place.key;
  action.written = std::move(value);
  // Without O_NONBLOCK: with it memory.high of Linux 6.16 and newer takes nothing back (cgroup-v2.rst), and whoever
  // asks for no more memory would never feel it.
  UniqueFd fd(::open(place.path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (!fd.valid() || ::fstat(fd.get(), &status) != 0) return failure("open", action.path);
  action.device = status.st_dev;
  action.inode = status.st_ino;
  JournaledValue opened(journal, std::move(action), std::move(fd));
  auto before = opened.read();
  if (!before) return std::unexpected(before.error());
  opened.action_.before = std::move(*before);
  return opened;
}

bool JournaledValue::check() {
  const auto now = read();
  const std::string& expected = set_ ? action_.written : action_.before;
  if (conflict_.empty() && now && *now != expected) {
    conflict_ =
        fmt::format("{} reads '{}', where it was '{}': somebody else has changed it (the guardian, if chaosd hung)",
                    describe(place()), *now, expected);
  }
  return conflict_.empty();
}

bool JournaledValue::gone() const {
  const auto now = read();
  return !now && now.error().code == Errc::kNotFound;
}

Status JournaledValue::set() {
  if (set_) return {};
  if (!check()) return fail(Errc::kRefused, conflict_);
  // Nothing to be changed, so nothing to be undone, and nothing to tell from what somebody else wants.
  if (action_.written == action_.before) return fail(Errc::kRefused, describe(place()) + " has this value already");
  Status status;
  if (change_) {
    status = write(action_.written);
  } else {
    auto change = JournaledChange::make(*journal_, action_, [this] { return write(action_.written); });
    if (!change) return std::unexpected(change.error());
    change_ = std::make_unique<JournaledChange>(std::move(*change));
  }
  if (!status) return status;
  const auto now = read();
  if (now && *now == action_.written) {
    set_ = true;
    return {};
  }
  // The record knows the change by the value: under another one nobody would undo it.
  const std::string seen = now ? *now : now.error().message;
  (void)write(action_.before);
  return fail(Errc::kInternal,
              fmt::format("{} reads '{}' after '{}' was written", describe(place()), seen, action_.written));
}

Status JournaledValue::reset() {
  if (!set_) return {};
  if (!check()) return fail(Errc::kRefused, conflict_);
  if (Status status = write(action_.before); !status) return status;
  set_ = false;
  return {};
}

UndoResult JournaledValue::finish() {
  if (!change_) return {UndoOutcome::kNotNeeded, {}};
  const auto change = std::move(change_);
  if (!check()) {
    // The value alone may be ours, as where there are but two of them: the undo of the record could not tell.
    change->leave();
    return {UndoOutcome::kTheirs, conflict_};
  }
  set_ = false;
  return change->undo_now();
}

}  // namespace chaos
