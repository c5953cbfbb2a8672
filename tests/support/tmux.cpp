#include "support/tmux.h"

#include <sstream>
#include <stdexcept>

#include "support/net.h"

namespace chaos::test {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace

// In the foreground, so that it is a child that ends with the test.
Tmux::Tmux(unsigned columns, unsigned rows, const std::vector<std::string>& environment)
    : server_("/usr/bin/env", {"env", "-u", "TMUX", "setpriv", "--pdeathsig", "KILL", "tmux", "-S",
                               (dir_.path() / "socket").string(), "-f", "/dev/null", "-D"}) {
  std::string session = "new-session -d -x " + std::to_string(columns) + " -y " + std::to_string(rows);
  for (const std::string& one : environment) session += " -e " + quoted(one);
  session += " -e 'PS1=ready> ' bash --norc --noprofile";
  if (!eventually([&] { return try_shell(command(session)).status == 0; }) || !shows("ready>")) {
    throw std::runtime_error("tmux does not start: " + try_shell(command(session)).output);
  }
}

Tmux::~Tmux() { (void)try_shell(command("kill-server")); }

std::string Tmux::command(const std::string& arguments) const {
  return "env -u TMUX tmux -S " + (dir_.path() / "socket").string() + " " + arguments;
}

void Tmux::type(const std::string& text) const { (void)shell(command("send-keys -l " + quoted(text))); }

void Tmux::press(const std::string& key) const { (void)shell(command("send-keys " + key)); }

void Tmux::enter(const std::string& text) const {
  type(text);
  press("Enter");
}

void Tmux::resize(unsigned columns, unsigned rows) const {
  (void)shell(command("resize-window -x " + std::to_string(columns) + " -y " + std::to_string(rows)));
}

std::string Tmux::text() const { return shell(command("capture-pane -p")); }

std::string Tmux::text_with_colours() const { return shell(command("capture-pane -p -e")); }

std::vector<std::string> Tmux::screen() const {
  std::vector<std::string> lines;
  std::istringstream all(text());
  for (std::string line; std::getline(all, line);) lines.push_back(line);
  return lines;
}

std::string Tmux::line_with(const std::string& wanted) const {
  for (const std::string& line : screen()) {
    if (line.find(wanted) != std::string::npos) return line;
  }
  return {};
}

bool Tmux::shows(const std::string& wanted) const {
  return eventually([&] { return text().find(wanted) != std::string::npos; });
}

bool Tmux::hides(const std::string& wanted) const {
  return eventually([&] { return text().find(wanted) == std::string::npos; });
}

std::string Tmux::ask(const std::string& variable) const {
  std::string answer = shell(command("display-message -p '#{" + variable + "}'"));
  while (!answer.empty() && answer.back() == '\n') answer.pop_back();
  return answer;
}

std::string Tmux::settings() const {
  const std::string all = shell("stty -a -F " + ask("pane_tty"));
  return all.substr(all.find('\n') + 1);
}

}  // namespace chaos::test
