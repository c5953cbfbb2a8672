// Tmux: a terminal with a shell in it, for tests of programs that fill a screen: a tmux server of its own (tmux(1))
// that ends with the object, or with the test. What is on the screen is read from tmux, not from the program.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/child.h"
#include "support/temp_dir.h"

namespace chaos::test {

class Tmux {
 public:
  /// The shell's environment has what tmux gives and `environment` ("LC_ALL=C").
  Tmux(unsigned columns, unsigned rows, const std::vector<std::string>& environment = {"LC_ALL=C.UTF-8"});
  ~Tmux();
  Tmux(const Tmux&) = delete;
  Tmux& operator=(const Tmux&) = delete;

  /// Types it, as it is.
  void type(const std::string& text) const;
  /// A key by tmux's name: "Enter", "C-c", "Escape".
  void press(const std::string& key) const;
  /// Types a command and Enter.
  void enter(const std::string& command) const;
  void resize(unsigned columns, unsigned rows) const;

  /// What is to be seen, without colours; the lines of the screen.
  [[nodiscard]] std::vector<std::string> screen() const;
  [[nodiscard]] std::string text() const;
  /// With the escape sequences of colours and attributes.
  [[nodiscard]] std::string text_with_colours() const;
  /// The line with `text` in it; empty if there is none.
  [[nodiscard]] std::string line_with(const std::string& text) const;
  /// Waits for it.
  [[nodiscard]] bool shows(const std::string& text) const;
  [[nodiscard]] bool hides(const std::string& text) const;
  /// A variable of tmux's formats: "alternate_on", "cursor_flag", "pane_current_command".
  [[nodiscard]] std::string ask(const std::string& variable) const;
  /// The terminal's settings as stty(1) prints them, from outside; without its first line, which has the size.
  [[nodiscard]] std::string settings() const;

 private:
  [[nodiscard]] std::string command(const std::string& arguments) const;

  TempDir dir_;
  Child server_;
};

}  // namespace chaos::test
