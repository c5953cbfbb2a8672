// top: a live screen of the host, its services, the faults and what they do; or the same as text.
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/units.h"
#include "ctl/command.h"
#include "ctl/interrupt.h"
#include "ctl/top_actions.h"
#include "ctl/top_fetcher.h"
#include "ctl/top_layout.h"
#include "ctl/top_signals.h"
#include "ctl/top_terminal.h"

namespace chaos::ctl {
namespace {

constexpr std::size_t kTextColumns = 120;  // of --once and --batch where there is no terminal
constexpr std::chrono::milliseconds kLeastInterval{100};
constexpr std::chrono::milliseconds kMostInterval{60'000};

struct TopOptions {
  std::string interval = "1s";
  bool once = false;
  bool batch = false;
  bool drops = false;
};

void top_options(CLI::App& app, TopOptions& options) {
  app.add_option("--interval", options.interval, "How often the daemon is asked; + and - change it")
      ->type_name("DURATION")
      ->capture_default_str();
  app.add_flag("--drops", options.drops, "Count drops, retransmits and round trips by eBPF from the start (key d)");
  auto* once = app.add_flag("--once", options.once, "Print one screen as text, after one interval, and end");
  app.add_flag("--batch", options.batch, "Print one screen after the other as text, until Ctrl-C")->excludes(once);
}

/// One run of the screen: what comes in, what is shown.
class TopLoop {
 public:
  TopLoop(Context& context, const TopView& view, const TopSample& first)
      : context_(context), view_(view), terminal_(TopTerminal::open(context.colour)) {
    (void)modeler_.take(first);
  }

  Outcome<Exit> run(const TopSignals& signals) {
    if (!terminal_) return std::unexpected(terminal_.error());
    TopFetcher fetcher(context_.client.socket(), questions());
    TopActions actions(context_.client.socket(), context_.advice("emergency-stop"));
    while (!over_) {
      draw();
      std::array<pollfd, 4> waits{
          {{STDIN_FILENO, POLLIN, 0}, {signals.fd(), POLLIN, 0}, {fetcher.fd(), POLLIN, 0}, {actions.fd(), POLLIN, 0}}};
      (void)::poll(waits.data(), waits.size(), -1);
      if ((waits[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) break;  // the terminal has gone
      while (const auto signo = signals.take()) take_signal(*signo, signals);
      if (waits[0].revents != 0) take_keys(fetcher, actions);
      if (auto sample = fetcher.take()) take_sample_in(*sample);
      for (TopNotice& notice : actions.take()) view_.notice = std::move(notice);
    }
    return leave(actions);
  }

 private:
  [[nodiscard]] TopQuestions questions() const { return {view_.drops, view_.interval}; }

  void draw() { terminal_->draw(lay_out(modeler_.model(), view_, terminal_->size(), terminal_->glyphs())); }

  void take_signal(int signo, const TopSignals& signals) {
    switch (signo) {
      case SIGWINCH:
        return;  // the next draw() looks at the size
      case SIGTSTP:
        terminal_->leave();
        signals.suspend();
        [[fallthrough]];
      case SIGCONT:
        // Whoever had the terminal meanwhile has left something there.
        return terminal_->come_back();
      default:
        over_ = true;
    }
  }

  void take_keys(TopFetcher& fetcher, TopActions& actions) {
    while (const auto key = terminal_->key()) {
      const TopIntent intent = press(view_, modeler_.model(), *key);
      switch (intent.kind) {
        case TopIntent::Kind::kNone:
          break;
        case TopIntent::Kind::kQuit:
          over_ = true;
          return;
        case TopIntent::Kind::kStop:
          view_.notice = {"stopping " + intent.id + " ...", Colour::kNone, std::nullopt};
          actions.stop(intent.id);
          break;
        case TopIntent::Kind::kEmergencyStop:
          view_.notice = {"emergency stop ...", Colour::kRed, std::nullopt};
          actions.emergency_stop();
          break;
        case TopIntent::Kind::kAskAnew:
          fetcher.ask(questions(), view_.paused);
          break;
        case TopIntent::Kind::kRedraw:
          terminal_->forget();
          break;
      }
    }
  }

  void take_sample_in(const TopSample& sample) {
    const bool was_lost = !modeler_.model().lost.empty();
    const std::string pid = modeler_.model().pid;
    const TopModel& model = modeler_.take(sample);
    if (was_lost && model.lost.empty()) {
      constexpr std::chrono::seconds kTold{10};
      const bool other = model.pid != pid;
      view_.notice = {other ? "chaosd is back: it was started anew (pid " + model.pid + ")" : "chaosd answers again",
                      other ? Colour::kYellow : Colour::kGreen, model.time + kTold};
    }
  }

  /// What is still under way ends where it can be read.
  Outcome<Exit> leave(TopActions& actions) {
    terminal_ = problem(Errc::kInternal, "closed");
    actions.finish();
    for (const TopNotice& notice : actions.take()) context_.err << "chaosctl: " << printable(notice.text) << '\n';
    return Exit::kDone;
  }

  Context& context_;
  TopView view_;
  TopModeler modeler_;
  Outcome<TopTerminal> terminal_;
  bool over_ = false;
};

std::size_t text_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const auto given = parse_unsigned(columns != nullptr ? columns : "");
  return given && *given >= 40 && *given <= 1000 ? static_cast<std::size_t>(*given) : kTextColumns;
}

void print_screen(const Context& context, const TopModel& model, const TopView& view, TopGlyphs glyphs) {
  for (const TopLine& line : lay_out(model, view, {text_columns(), 0}, glyphs)) {
    std::string text;
    for (const TopSpan& span : line.spans) {
      // A title bar is light on dark on a screen; here it is bold.
      text += context.paint(span.text, span.reverse && span.colour == Colour::kNone ? Colour::kBold : span.colour);
    }
    if (!context.colour) text.erase(text.find_last_not_of(' ') + 1);
    context.out << text << '\n';
  }
}

/// Rates need two answers: the first one is not shown.
Outcome<Exit> print_screens(Context& context, TopView view, bool again) {
  view.batch = true;
  const TopGlyphs glyphs{locale_is_utf8()};
  const Interrupt interrupt;
  const TopQuestions questions{view.drops, view.interval};
  TopModeler modeler;
  bool first = true;
  while (true) {
    const TopSample sample = take_sample(context.client, questions);
    if (sample.lost) return std::unexpected(*sample.lost);
    const TopModel& model = modeler.take(sample);
    if (context.json()) {
      context.out << sample_json(sample).dump(again ? -1 : 2, ' ', false, Json::error_handler_t::replace) << '\n';
    } else if (!first) {
      print_screen(context, model, view, glyphs);
      if (again) context.out << '\n';
    }
    context.out.flush();
    if (!again && (context.json() || !first)) return Exit::kDone;
    if (!context.out || interrupt.wait(static_cast<int>(view.interval.count()))) return Exit::kDone;
    first = false;
  }
}

Outcome<Exit> run_top(Context& context, const TopOptions& options) {
  const auto interval = parse_duration(options.interval);
  if (!interval || *interval < kLeastInterval || *interval > kMostInterval) {
    return problem(Errc::kInvalid, "--interval is \"" + options.interval + "\"", "--interval", "100ms to 1m",
                   "for example 2s");
  }
  TopView view;
  view.interval = std::chrono::duration_cast<std::chrono::milliseconds>(*interval);
  view.drops = options.drops;
  if (options.once || options.batch) return print_screens(context, view, options.batch);
  if (context.json()) {
    return problem(Errc::kInvalid, "a screen is no JSON", "--output", "table",
                   context.advice("-o json top --once") + " prints what it is made of");
  }
  // Who cannot reach the daemon is told so where it can be read.
  const TopSample first = take_sample(context.client, {view.drops, view.interval});
  if (first.lost) return std::unexpected(*first.lost);
  const TopSignals signals;
  return TopLoop(context, view, first).run(signals);
}

}  // namespace

std::vector<Command> top_commands() {
  return {make_command<TopOptions>("top", "Watch host, services, faults and what they do on a live screen", top_options,
                                   run_top)};
}

}  // namespace chaos::ctl
