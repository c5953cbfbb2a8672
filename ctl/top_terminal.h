// TopTerminal: the terminal of chaosctl top, by ncurses. While the object lives the terminal shows another screen,
// without a cursor and without an echo; whatever ends the object puts it back, an exception included. Needs the
// terminal on standard input and output. One object at a time, on the thread that made it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ctl/problem.h"
#include "ctl/top_layout.h"

namespace chaos::ctl {

/// Is the user's locale UTF-8? Sets the process's LC_CTYPE to it.
[[nodiscard]] bool locale_is_utf8();

class TopTerminal {
 public:
  /// Errors: kInvalid (standard input or output is no terminal; TERM is not set, dumb or unknown), with what to do.
  static Outcome<TopTerminal> open(bool colour);
  ~TopTerminal();
  TopTerminal(TopTerminal&&) noexcept;
  TopTerminal& operator=(TopTerminal&&) = delete;

  [[nodiscard]] TopGlyphs glyphs() const { return glyphs_; }
  /// The size that it has now.
  [[nodiscard]] TopSize size();
  void draw(const std::vector<TopLine>& lines);
  /// Everything is drawn by the next draw(), whatever is thought to be there.
  void forget();
  /// What has been typed; empty if nothing is left.
  [[nodiscard]] std::optional<TopKey> key();
  /// The terminal as it was before, until come_back() or the next draw().
  void leave();
  /// After somebody else had the terminal: its modes are ours again, and all is drawn anew.
  void come_back();

 private:
  struct Screen;
  explicit TopTerminal(std::unique_ptr<Screen> screen, bool unicode);
  std::unique_ptr<Screen> screen_;
  TopGlyphs glyphs_;
};

}  // namespace chaos::ctl
