#include "safety/undo_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <utility>

namespace chaos {

std::filesystem::path undo_directory(const std::filesystem::path& runtime_dir) { return runtime_dir / "journal"; }
std::filesystem::path undo_file(const std::filesystem::path& runtime_dir) {
  return undo_directory(runtime_dir) / "changes.undo";
}

Result<std::unique_ptr<UndoJournal>> UndoJournal::open(const std::filesystem::path& runtime_dir) {
  const auto directory = undo_directory(runtime_dir);
  std::error_code error;
  if (std::filesystem::create_directories(directory, error)) {
    std::filesystem::permissions(directory, std::filesystem::perms(0700), error);
  }
  if (error) return fail(Errc::kInternal, "make " + directory.string() + ": " + error.message());
  if (std::filesystem::exists(undo_file(runtime_dir), error)) {
    return fail(Errc::kRefused, undo_file(runtime_dir).string() + " holds changes that were not undone", {}, {},
                "chaosctl undo says what is in the way");
  }
  return std::unique_ptr<UndoJournal>(new UndoJournal(directory));
}

UndoJournal::~UndoJournal() { (void)::rmdir(directory_.c_str()); }

Status UndoJournal::sync_directory() const {
  const UniqueFd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) return fail_errno("sync " + directory_.string());
  return {};
}

Status UndoJournal::append(UndoEntry entry) {
  const auto path = undo_file(directory_.parent_path());
  if (!file_.valid()) {
    file_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file_.valid()) return fail_errno("make " + path.string());
    if (Status synced = sync_directory(); !synced) return synced;
    last_number_ = 0;
    size_ = 0;
  }
  entry.number = last_number_ + 1;
  const std::string bytes = encode(entry);
  errno = 0;
  const ssize_t written = ::write(file_.get(), bytes.data(), bytes.size());
  if (written == static_cast<ssize_t>(bytes.size()) && ::fdatasync(file_.get()) == 0) {
    size_ += written;
    last_number_ = entry.number;
    return {};
  }
  // A disk that is full cuts an entry short: what follows must not stand behind half of it under the same number.
  auto failure = fail_errno("write " + path.string(), errno != 0 ? errno : ENOSPC);
  if (::ftruncate(file_.get(), size_) != 0) last_number_ = entry.number;
  return failure;
}

Result<std::uint64_t> UndoJournal::record(const UndoAction& action) {
  const std::scoped_lock lock(mutex_);
  if (!guarded_.load()) {
    return fail(Errc::kUnavailable, "the guardian is not running, and nobody would undo this if chaosd died", {},
                "changes that outlive chaosd need a guardian", "it is being restarted: try again in a second");
  }
  const std::uint64_t id = ++last_id_;
  if (Status appended = append({0, id, UndoMark::kIntended, action}); !appended) {
    return with_context("undo journal", appended.error());
  }
  open_.insert(id);
  return id;
}

Status UndoJournal::applied(std::uint64_t id) {
  const std::scoped_lock lock(mutex_);
  return append({0, id, UndoMark::kApplied, {}});
}

Status UndoJournal::undone(std::uint64_t id) {
  const std::scoped_lock lock(mutex_);
  Status status = append({0, id, UndoMark::kUndone, {}});
  open_.erase(id);
  if (!open_.empty()) return status;
  // Nothing to undo: no file. A reader that has it open still finds it complete.
  file_.reset();
  if (::unlink(undo_file(directory_.parent_path()).c_str()) != 0 && errno != ENOENT) {
    return fail_errno("remove the undo journal");
  }
  return sync_directory();
}

std::size_t UndoJournal::open_changes() const {
  const std::scoped_lock lock(mutex_);
  return open_.size();
}

Result<JournaledChange> JournaledChange::make(UndoJournal& journal, UndoAction action,
                                              const std::function<Status()>& change) {
  auto id = journal.record(action);
  if (!id) return std::unexpected(id.error());
  JournaledChange made(journal, *id, std::move(action));
  Status status = change();
  if (status) status = journal.applied(*id);
  // What was made is undone by the destructor.
  if (!status) return std::unexpected(status.error());
  return made;
}

JournaledChange::JournaledChange(JournaledChange&& other) noexcept
    : journal_(std::exchange(other.journal_, nullptr)), id_(other.id_), action_(std::move(other.action_)) {}

JournaledChange::~JournaledChange() {
  if (journal_ != nullptr) (void)undo_now();
}

void JournaledChange::leave() {
  if (const Status marked = std::exchange(journal_, nullptr)->undone(id_); !marked) {
    spdlog::error("{}", marked.error().message);
  }
}

UndoResult JournaledChange::undo_now() {
  UndoResult result = undo(action_);
  UndoJournal& journal = *std::exchange(journal_, nullptr);
  if (result.outcome == UndoOutcome::kFailed) {
    spdlog::error("not undone: {}: {}", describe(action_), result.detail);
    return result;
  }
  if (result.outcome == UndoOutcome::kTheirs) spdlog::warn("left as it is: {}: {}", describe(action_), result.detail);
  if (const Status marked = journal.undone(id_); !marked) spdlog::error("{}", marked.error().message);
  return result;
}

}  // namespace chaos
