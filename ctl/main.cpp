#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <exception>
#include <iostream>

#include "ctl/app.h"

int main(int argc, char** argv) {
  // Run by the front program: who looks at processes, or reads who called, knows it by that one's name.
  (void)::prctl(PR_SET_NAME, "chaosctl");
  try {
    winsize size{};
    const bool is_tty = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    return chaos::ctl::run({argv + 1, argv + argc}, {std::cout, std::cerr, is_tty, size.ws_col});
  } catch (const std::exception& error) {
    std::cerr << "chaosctl: " << error.what() << '\n';
    return static_cast<int>(chaos::ctl::Exit::kFailed);
  }
}
