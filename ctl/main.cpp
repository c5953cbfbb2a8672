#include <unistd.h>

#include <exception>
#include <iostream>

#include "ctl/app.h"

int main(int argc, char** argv) {
  try {
    return chaos::ctl::run({argv + 1, argv + argc}, {std::cout, std::cerr, ::isatty(STDOUT_FILENO) == 1});
  } catch (const std::exception& error) {
    std::cerr << "chaosctl: " << error.what() << '\n';
    return static_cast<int>(chaos::ctl::Exit::kFailed);
  }
}
