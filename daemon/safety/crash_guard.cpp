#include "safety/crash_guard.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>

namespace chaos {
namespace {

std::atomic<chaos_control*> g_control{nullptr};
alignas(16) std::array<std::byte, 16384> g_stack;

void on_fatal_signal(int signo) {
  // Async-signal-safe: lock-free atomics, and no more. SA_RESETHAND has restored the default action already.
  if (chaos_control* control = g_control.load()) std::atomic_ref(control->armed).store(0);
  raise(signo);
}

}  // namespace

Status install_crash_guard(chaos_control& control) {
  g_control.store(&control);
  stack_t stack{};
  stack.ss_sp = g_stack.data();
  stack.ss_size = g_stack.size();
  if (sigaltstack(&stack, nullptr) != 0) return fail_errno("set the signal stack");
  struct sigaction action {};
  action.sa_handler = on_fatal_signal;
  action.sa_flags = SA_ONSTACK | static_cast<int>(SA_RESETHAND);
  for (const int signo : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS}) {
    if (sigaction(signo, &action, nullptr) != 0) return fail_errno("handle fatal signals");
  }
  return {};
}

}  // namespace chaos
