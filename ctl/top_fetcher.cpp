#include "ctl/top_fetcher.h"

#include <sys/eventfd.h>

#include <exception>

#include <fmt/format.h>

namespace chaos::ctl {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPatience{3000};
constexpr std::chrono::milliseconds kRetry{500};  // while the daemon does not answer, at most

TopSample failed(const std::exception& error) {
  TopSample sample;
  sample.time = system_clock().wall();
  sample.lost = problem(Errc::kInternal, error.what()).error();
  return sample;
}

}  // namespace

TopFetcher::TopFetcher(std::string socket, TopQuestions questions)
    : socket_(std::move(socket)),
      ready_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      give_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      questions_(questions),
      thread_([this] { run(); }) {}

TopFetcher::~TopFetcher() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  ::eventfd_write(give_up_.get(), 1);
  thread_.join();
}

std::optional<TopSample> TopFetcher::take() {
  const std::lock_guard lock(mutex_);
  eventfd_t count = 0;
  ::eventfd_read(ready_.get(), &count);
  return std::exchange(sample_, std::nullopt);
}

void TopFetcher::ask(const TopQuestions& questions, bool paused) {
  {
    const std::lock_guard lock(mutex_);
    questions_ = questions;
    paused_ = paused;
    at_once_ = !paused;
  }
  changed_.notify_all();
}

bool TopFetcher::wait_until_due() {
  std::unique_lock lock(mutex_);
  const auto asked = SteadyClock::now();
  const auto due = [&] {
    return asked + (lost_ ? std::min<std::chrono::milliseconds>(kRetry, questions_.interval) : questions_.interval);
  };
  while (!over_ && !at_once_ && (paused_ || SteadyClock::now() < due())) {
    if (paused_) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, due());
    }
  }
  at_once_ = false;
  return !over_;
}

void TopFetcher::run() {
  Client client(socket_);
  client.set_timeout(kPatience);
  client.set_interrupt(give_up_.get());
  while (wait_until_due()) {
    TopQuestions questions;
    {
      const std::lock_guard lock(mutex_);
      questions = questions_;
    }
    TopSample sample;
    try {
      sample = take_sample(client, questions);
    } catch (const std::exception& error) {
      sample = failed(error);
    }
    const std::lock_guard lock(mutex_);
    lost_ = sample.lost.has_value();
    sample_ = std::move(sample);
    ::eventfd_write(ready_.get(), 1);
  }
}

}  // namespace chaos::ctl
