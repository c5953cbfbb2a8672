#include "ctl/top_actions.h"

#include <sys/eventfd.h>

#include <exception>
#include <functional>

#include <fmt/format.h>

#include "ctl/brake_front.h"
#include "ctl/emergency.h"
#include "ctl/json_text.h"
#include "ctl/residue.h"
#include "ctl/scenario_view.h"

namespace chaos::ctl {
namespace {

std::string detail_of(const Problem& problem) {
  const std::string detail = text_of(problem.document, "detail");
  const std::string hint = text_of(problem.document, "hint");
  return hint.empty() ? detail : detail + ": " + hint;
}

TopNotice stop_scenario(const std::string& socket, const std::string& id, int give_up) {
  Client client(socket);
  client.set_interrupt(give_up);
  const Outcome<Json> stopped = client.post("/api/chaos/scenarios/" + url_escape(id) + "/stop", Json::object());
  if (!stopped && stopped.error().exit == Exit::kInterrupted) return {};
  if (!stopped) return {"not stopped: " + detail_of(stopped.error()), Colour::kRed, std::nullopt};
  const Outcome<Json> residue = ask_residue(client);
  std::string text = fmt::format("{} is {}", text_of(*stopped, "id"), state_text(*stopped));
  const bool failed = text_of(*stopped, "state") == "failed";
  if (const std::string error = text_of(*stopped, "error"); !error.empty()) text += ": " + error;
  const bool clean = residue && is_clean(*residue);
  text += clean     ? "; residue: none"
          : residue ? "; something is left, see chaosctl residue"
                    : "; residue: " + detail_of(residue.error());
  return {text, failed || !clean ? Colour::kRed : Colour::kGreen, std::nullopt};
}

TopNotice pull(const std::string& socket, const std::string& advice) {
  const auto done = emergency_stop(brake_scope(socket, std::string(kBrakeReason)), {advice});
  if (!done) return {"EMERGENCY STOP NOT DONE: " + detail_of(done.error()), Colour::kRed, std::nullopt};
  if (!done->forced) {
    return {
        fmt::format("emergency stop: {} ended, latched until chaosctl rearm", list_at(done->answer, "stopped").size()),
        Colour::kGreen, std::nullopt};
  }
  std::string text = "emergency stop by force:";
  for (const BrakeStep& step : done->forced->steps) {
    text += fmt::format(" {} {};", step.step, step.done ? "done" : "FAILED (" + step.detail + ")");
  }
  const bool good = done->forced->stopped && done->forced->held;
  return {text, good ? Colour::kGreen : Colour::kRed, std::nullopt};
}

}  // namespace

TopActions::TopActions(std::string socket, std::string advice)
    : socket_(std::move(socket)),
      advice_(std::move(advice)),
      ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      give_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

TopActions::~TopActions() { finish(); }

void TopActions::finish() {
  ::eventfd_write(give_up_.get(), 1);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

std::vector<TopNotice> TopActions::take() {
  const std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  ::eventfd_read(ready_.get(), &count);
  return std::exchange(notices_, {});
}

void TopActions::run(std::function<TopNotice()> action) {
  threads_.emplace_back([this, action = std::move(action)] {
    TopNotice notice;
    try {
      notice = action();
    } catch (const std::exception& error) {
      notice = {error.what(), Colour::kRed, std::nullopt};
    }
    const std::lock_guard lock(mutex_);
    if (!notice.text.empty()) notices_.push_back(std::move(notice));
    ::eventfd_write(ready_.get(), 1);
  });
}

void TopActions::stop(const std::string& id) {
  run([this, id] { return stop_scenario(socket_, id, give_up_.get()); });
}

void TopActions::emergency_stop() {
  run([this] { return pull(socket_, advice_); });
}

}  // namespace chaos::ctl
