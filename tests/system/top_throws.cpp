// For top_test: a program that fails while it has the screen of chaosctl top.
#include <poll.h>
#include <unistd.h>

#include <iostream>
#include <stdexcept>

#include "ctl/top_terminal.h"

int main() {
  try {
    auto terminal = chaos::ctl::TopTerminal::open(true);
    if (!terminal) return 2;
    terminal->draw({{{{"about to fail", chaos::ctl::Colour::kRed}}}});
    while (!terminal->key()) {
      pollfd input{STDIN_FILENO, POLLIN, 0};
      (void)::poll(&input, 1, -1);
    }
    throw std::runtime_error("has failed");
  } catch (const std::exception& error) {
    std::cerr << "chaosctl: " << error.what() << '\n';
    return 1;
  }
}
