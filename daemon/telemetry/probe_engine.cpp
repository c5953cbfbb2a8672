#include "telemetry/probe_engine.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "kernel/systemd.h"
#include "telemetry/metric_text.h"
#include "telemetry/sampled_file.h"

namespace chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr long kOk = 200;

std::string within(std::chrono::nanoseconds timeout) {
  return fmt::format("no answer within {} ms", std::chrono::duration_cast<milliseconds>(timeout).count());
}

Prober::Outcome of_unit(const std::string& unit) {
  const auto state = systemd_active_state(unit);
  if (!state)
    return {
        .problem = "systemd does not answer, or does not know the unit", .took = {}, .round_trip = {}, .number = {}};
  if (*state == "active" || *state == "reloading") return {};
  return {.problem = "the unit is " + *state, .took = {}, .round_trip = {}, .number = {}};
}

void put_number(Result<double> number, Prober::Outcome& outcome) {
  if (number) {
    outcome.number = *number;
  } else {
    outcome.problem = number.error().message;
  }
}

Prober::Outcome of_file(const std::string& path) {
  Prober::Outcome outcome;
  std::string buffer;
  SampledFile file(path);
  const auto text = file.read(buffer);
  put_number(text ? number_in(*text) : std::unexpected(text.error()), outcome);
  return outcome;
}

}  // namespace

Prober::Engine::Engine(std::vector<Task> tasks, Report report)
    : tasks_(std::move(tasks)), report_(std::move(report)), thread_([this] { run(); }) {
  ::pthread_setname_np(thread_.native_handle(), "probes");
}

Prober::Engine::~Engine() {
  stop();
  thread_.join();
}

void Prober::Engine::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  if (wake_ != nullptr) curl_->multi_wakeup(wake_);
}

void Prober::Engine::run() {
  serve();
  stopped_.store(true);
}

void Prober::Engine::serve() {
  const auto curl = Curl::load();
  if (!curl) return run_without_curl(curl.error().message);
  curl_ = *curl;
  multi_ = curl_->multi_init();
  if (multi_ == nullptr) return run_without_curl("libcurl: out of memory");
  {
    const std::lock_guard lock(mutex_);
    wake_ = multi_;
  }
  const auto now = steady_clock::now();
  for (const Task& task : tasks_) slots_.push_back({&task, now, {}});
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    for (Slot& slot : slots_) {
      if (!slot.running && slot.due <= steady_clock::now()) start(slot);
    }
    finish_transfers();
    look_at_commands();
    wait(until_next());
  }
  {
    const std::lock_guard lock(mutex_);
    wake_ = nullptr;
  }
  for (Slot& slot : slots_) {
    if (slot.running && slot.running->transfer) curl_->multi_remove_handle(multi_, slot.running->transfer->easy());
  }
  slots_.clear();
  curl_->multi_cleanup(multi_);
}

void Prober::Engine::run_without_curl(const std::string& problem) {
  spdlog::error("probes: {}", problem);
  for (const Task& task : tasks_) report_(task, {.problem = problem, .took = {}, .round_trip = {}, .number = {}});
}

void Prober::Engine::start(Slot& slot) {
  const Task& task = *slot.task;
  const auto now = steady_clock::now();
  slot.running.emplace();
  slot.running->began = now;
  slot.running->deadline = now + task.timeout;
  if (task.type == "unit") return finish(slot, of_unit(task.where));
  if (task.type == "file") return finish(slot, of_file(task.where));
  if (task.type != "command") return start_transfer(slot);
  auto command = ProbeCommand::start(task.command, !task.is_health);
  if (!command) return finish(slot, {.problem = command.error().message, .took = {}, .round_trip = {}, .number = {}});
  slot.running->command = std::move(*command);
}

void Prober::Engine::start_transfer(Slot& slot) {
  const Task& task = *slot.task;
  slot.running->transfer = ProbeTransfer::make(*curl_, task.where, task.type == "tcp", task.timeout);
  const auto& transfer = slot.running->transfer;
  if (!transfer || curl_->multi_add_handle(multi_, transfer->easy()) != CURLM_OK) {
    slot.running->transfer.reset();
    finish(slot, {.problem = "libcurl: out of memory", .took = {}, .round_trip = {}, .number = {}});
  }
}

void Prober::Engine::finish(Slot& slot, Outcome outcome) {
  const auto now = steady_clock::now();
  outcome.took = now - slot.running->began;
  if (slot.running->transfer) curl_->multi_remove_handle(multi_, slot.running->transfer->easy());
  slot.running.reset();
  // From beginning to beginning, without catching up on what was missed.
  slot.due = std::max(slot.due + slot.task->interval, now);
  report_(*slot.task, std::move(outcome));
}

void Prober::Engine::finish_transfers() {
  int count = 0;
  curl_->multi_perform(multi_, &count);
  while (const CURLMsg* message = curl_->multi_info_read(multi_, &count)) {
    if (message->msg != CURLMSG_DONE) continue;
    const auto slot = std::ranges::find_if(slots_, [&](const Slot& one) {
      return one.running && one.running->transfer && one.running->transfer->easy() == message->easy_handle;
    });
    if (slot == slots_.end()) continue;
    const Task& task = *slot->task;
    const ProbeTransfer& transfer = *slot->running->transfer;
    const CURLcode code = message->data.result;
    Outcome outcome;
    outcome.problem = code == CURLE_OPERATION_TIMEDOUT ? within(task.timeout) : transfer.problem(code);
    if (outcome.problem.empty()) {
      const long wanted = task.type == "http" ? static_cast<long>(task.expect_status) : kOk;
      if (transfer.round_trip().count() > 0) outcome.round_trip = transfer.round_trip();
      if (task.type != "tcp" && transfer.status() != wanted) {
        outcome.problem = fmt::format("status {}, not {}", transfer.status(), wanted);
      } else if (task.type == "prometheus") {
        put_number(number_in_exposition(transfer.body(), task.what), outcome);
      } else if (task.type == "json") {
        put_number(number_in_json(transfer.body(), task.what), outcome);
      }
    }
    finish(*slot, std::move(outcome));
  }
}

void Prober::Engine::look_at_commands() {
  for (Slot& slot : slots_) {
    if (!slot.running || !slot.running->command) continue;
    auto end = slot.running->command->poll();
    if (!end && slot.running->deadline <= steady_clock::now()) end = within(slot.task->timeout) + ", killed";
    if (!end) continue;
    Outcome outcome;
    outcome.problem = std::move(*end);
    if (outcome.problem.empty() && !slot.task->is_health)
      put_number(number_in(slot.running->command->output()), outcome);
    finish(slot, std::move(outcome));
  }
}

milliseconds Prober::Engine::until_next() const {
  const auto now = steady_clock::now();
  Time next = now + std::chrono::minutes(10);
  for (const Slot& slot : slots_) {
    if (!slot.running) next = std::min(next, slot.due);
    if (slot.running && slot.running->command) next = std::min(next, slot.running->deadline);
  }
  return std::max(std::chrono::ceil<milliseconds>(next - now), milliseconds(0));
}

void Prober::Engine::wait(milliseconds limit) {
  std::vector<curl_waitfd> extra;
  for (const Slot& slot : slots_) {
    if (!slot.running || !slot.running->command) continue;
    extra.push_back({slot.running->command->end_fd(), CURL_WAIT_POLLIN, 0});
    if (const int output = slot.running->command->output_fd(); output >= 0) {
      extra.push_back({output, CURL_WAIT_POLLIN, 0});
    }
  }
  curl_->multi_poll(multi_, extra.data(), static_cast<unsigned>(extra.size()), static_cast<int>(limit.count()),
                    nullptr);
}

}  // namespace chaos
