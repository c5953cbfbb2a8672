#include "ctl/top_terminal.h"

#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <string_view>

// Its macros have the names of much else.
#define NCURSES_NOMACROS 1
#include <ncurses.h>

namespace chaos::ctl {
namespace {

constexpr int kEscapeMs = 50;  // an escape sequence's bytes come together, over ssh as well
constexpr const char* kInstead = "chaosctl top --once prints one screen as text, --batch one after the other";

enum Pair : short { kPairRed = 1, kPairGreen, kPairYellow };

attr_t attribute_of(const TopSpan& span, bool colour) {
  attr_t attribute = span.reverse ? A_REVERSE : A_NORMAL;
  switch (span.colour) {
    case Colour::kNone:
      return attribute;
    case Colour::kBold:
      return attribute | A_BOLD;
    case Colour::kDim:
      return attribute | (span.reverse ? A_NORMAL : A_DIM);
    case Colour::kRed:
      return attribute | A_BOLD | (colour ? COLOR_PAIR(kPairRed) : A_NORMAL);
    case Colour::kGreen:
      return attribute | (colour ? COLOR_PAIR(kPairGreen) : A_NORMAL);
    case Colour::kYellow:
      return attribute | (colour ? COLOR_PAIR(kPairYellow) : A_BOLD);
  }
  return attribute;
}

TopKey key_of(int code) {
  using Kind = TopKey::Kind;
  switch (code) {
    case KEY_UP:
      return {Kind::kUp};
    case KEY_DOWN:
      return {Kind::kDown};
    case KEY_PPAGE:
      return {Kind::kPageUp};
    case KEY_NPAGE:
      return {Kind::kPageDown};
    case KEY_HOME:
      return {Kind::kHome};
    case KEY_END:
      return {Kind::kEnd};
    case KEY_ENTER:
    case '\r':
    case '\n':
      return {Kind::kEnter};
    case '\t':
      return {Kind::kTab};
    case '\x1b':
      return {Kind::kEscape};
    default:
      return code > 0 && code < 0x7f ? TopKey{Kind::kText, static_cast<char>(code)} : TopKey{};
  }
}

std::unexpected<Problem> refuse(std::string message) {
  return problem(Errc::kInvalid, std::move(message), "TERM", "a terminal that can move its cursor", kInstead);
}

}  // namespace

bool locale_is_utf8() {
  std::setlocale(LC_CTYPE, "");
  return std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
}

struct TopTerminal::Screen {
  SCREEN* screen = nullptr;
  bool colour = false;
  ~Screen() {
    if (screen == nullptr) return;
    ::endwin();
    ::delscreen(screen);
  }
};

TopTerminal::TopTerminal(std::unique_ptr<Screen> screen, bool unicode) : screen_(std::move(screen)), glyphs_{unicode} {}
TopTerminal::~TopTerminal() = default;
TopTerminal::TopTerminal(TopTerminal&&) noexcept = default;

Outcome<TopTerminal> TopTerminal::open(bool colour) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) {
    return problem(Errc::kInvalid, "top needs a terminal as standard input and output", "top", "a terminal", kInstead);
  }
  const char* term = std::getenv("TERM");
  if (term == nullptr || *term == '\0') return refuse("top does not know the terminal: TERM is not set");
  if (std::string_view(term) == "dumb") return refuse("this terminal is \"dumb\": it cannot show a screen");
  const bool unicode = locale_is_utf8();
  auto screen = std::make_unique<Screen>();
  screen->screen = ::newterm(nullptr, stdout, stdin);
  if (screen->screen == nullptr) {
    return refuse("terminfo does not know the terminal \"" + std::string(term) + "\", or not how to move its cursor");
  }
  ::set_escdelay(kEscapeMs);
  ::cbreak();
  ::noecho();
  ::nonl();
  ::keypad(stdscr, TRUE);
  ::nodelay(stdscr, TRUE);
  ::curs_set(0);
  screen->colour = colour && ::has_colors() == TRUE && ::start_color() == OK;
  if (screen->colour) {
    const short background = ::use_default_colors() == OK ? -1 : COLOR_BLACK;
    ::init_pair(kPairRed, COLOR_RED, background);
    ::init_pair(kPairGreen, COLOR_GREEN, background);
    ::init_pair(kPairYellow, COLOR_YELLOW, background);
  }
  return TopTerminal(std::move(screen), unicode);
}

TopSize TopTerminal::size() {
  winsize now{};
  // A serial line says 0: then what terminfo says stays.
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) == 0 && now.ws_row > 0 && now.ws_col > 0 &&
      (now.ws_row != ::getmaxy(stdscr) || now.ws_col != ::getmaxx(stdscr))) {
    ::resizeterm(now.ws_row, now.ws_col);
    forget();
  }
  return {static_cast<std::size_t>(std::max(::getmaxx(stdscr), 0)),
          static_cast<std::size_t>(std::max(::getmaxy(stdscr), 0))};
}

void TopTerminal::draw(const std::vector<TopLine>& lines) {
  ::erase();
  int row = 0;
  for (const TopLine& line : lines) {
    ::move(row++, 0);
    for (const TopSpan& span : line.spans) {
      ::attrset(static_cast<int>(attribute_of(span, screen_->colour)));
      ::addstr(span.text.c_str());
    }
  }
  ::attrset(A_NORMAL);
  ::refresh();
}

void TopTerminal::forget() { ::clearok(stdscr, TRUE); }

std::optional<TopKey> TopTerminal::key() {
  const int code = ::getch();
  if (code == ERR) return std::nullopt;
  return key_of(code);
}

void TopTerminal::leave() { ::endwin(); }

void TopTerminal::come_back() {
  ::reset_prog_mode();
  forget();
}

}  // namespace chaos::ctl
