// chaosctl top as its users see it: in a terminal (tmux), with a daemon that breaks something.
#include <gmock/gmock.h>
#include <signal.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/child.h"
#include "support/daemon.h"
#include "support/kernel_test.h"
#include "support/net.h"
#include "support/requests.h"
#include "support/sshd.h"
#include "support/tmux.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kChaosctl = CHAOS_BIN_DIR "/chaosctl";

/// A daemon with a service that is well, one that is not, and a test's own way to say which.
struct Scene {
  Scene() : flag(dir.path() / "well") {
    std::ofstream(flag) << "1\n";
    Daemon::Setup setup;
    setup.config =
        "chaos_testing: {max_concurrent_scenarios: 64, blast_radius_limit: 1}\n"
        "telemetry: {interval: 50ms}\n"
        "monitoring: {metrics_interval: 100ms, health_check_timeout: 1s}\n"
        "services:\n"
        "  good: {process: nobody-good, health: {type: command, command: [test, -e, " +
        flag.string() +
        "]}}\n"
        "  bad: {process: nobody-bad, health: {type: command, command: [\"false\"]}}\n";
    daemon.emplace(setup);
  }
  /// The command line of top, at four answers a second.
  [[nodiscard]] std::string top(const std::string& options = "") const {
    return std::string(kChaosctl) + " --socket " + daemon->socket() + " top --interval 250ms " + options;
  }

  TempDir dir;
  std::filesystem::path flag;
  std::optional<Daemon> daemon;
};

/// Waits until the screen is top's: its last line has the keys.
bool is_up(const Tmux& terminal) { return terminal.shows("q quit"); }

/// The process that has the terminal.
pid_t pid_of_top(const Tmux& terminal) {
  const std::string found = try_shell("pgrep -t " + terminal.ask("pane_tty").substr(5) + " -x chaosctl").output;
  if (found.empty()) throw std::runtime_error("no chaosctl on the terminal");
  return std::stoi(found);
}

TEST(Top, ShowsHostServicesAndFaults) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const VethPair net("top");
  const std::string id = id_of(scene.daemon->run_scenario(total_loss(net.left)));
  (void)try_shell("ip netns exec " + net.left.name() + " ping -c 7 -i 0.05 -W 0.2 10.77.0.2");
  const json counters = scene.daemon->scenario(id).at("counters");
  for (const auto& [columns, rows] : {std::pair(80U, 24U), std::pair(200U, 60U)}) {
    const Tmux terminal(columns, rows);
    terminal.enter(scene.top());
    ASSERT_TRUE(is_up(terminal)) << terminal.text();
    EXPECT_EQ(terminal.ask("alternate_on"), "1");
    EXPECT_EQ(terminal.ask("cursor_flag"), "0");
    // Rates are there from the second answer on.
    EXPECT_TRUE(eventually([&] { return terminal.line_with("CPU").find('%') != std::string::npos; }));
    EXPECT_TRUE(terminal.shows("exit status 1")) << terminal.text();
    const std::string text = terminal.text();
    EXPECT_THAT(text, AllOf(HasSubstr("PSI"), HasSubstr("load"), HasSubstr("retransmits"), HasSubstr("good"),
                            HasSubstr("unhealthy"), HasSubstr("not asked for: d")));
    EXPECT_THAT(terminal.line_with("packet_loss"),
                AllOf(HasSubstr("active"), HasSubstr(" " + counters.at("injected").dump() + " "), HasSubstr("100%")))
        << text;
    EXPECT_EQ(terminal.screen().size(), rows);
    terminal.type("q");
    EXPECT_TRUE(terminal.hides("q quit"));
  }
  (void)scene.daemon->stop_scenario(id);
}

/// One way in which a screen ends, and what the shell tells afterwards.
struct End {
  const char* name;
  std::function<void(const Tmux&)> end;
};

class TopEnds : public testing::TestWithParam<End> {};

TEST_P(TopEnds, TheTerminalIsAsItWas) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const Tmux terminal(80, 24);
  const std::string at_prompt = terminal.settings();
  // What a command of the shell sees; the shell itself has others while it prompts.
  const auto settings_of_commands = [&](const std::string& name) {
    const std::filesystem::path file = scene.dir.path() / name;
    terminal.enter("stty -a >" + file.string() + "; echo looked-" + name + "-$?");
    EXPECT_TRUE(terminal.shows("looked-" + name + "-0")) << terminal.text();
    std::ifstream text(file);
    return std::string((std::istreambuf_iterator<char>(text)), {});
  };
  const std::string before = settings_of_commands("before");
  EXPECT_THAT(before, HasSubstr(" icanon"));
  terminal.enter(scene.top() + "; echo has-ended-$?");
  ASSERT_TRUE(is_up(terminal)) << terminal.text();
  EXPECT_THAT(terminal.settings(), HasSubstr("-icanon")) << "top reads keys as they are typed";
  GetParam().end(terminal);
  EXPECT_TRUE(terminal.shows("has-ended-0")) << terminal.text();
  EXPECT_EQ(settings_of_commands("after"), before);
  EXPECT_TRUE(eventually([&] { return terminal.settings() == at_prompt; })) << terminal.settings();
  EXPECT_EQ(terminal.ask("alternate_on"), "0");
  EXPECT_EQ(terminal.ask("cursor_flag"), "1");
  EXPECT_EQ(terminal.ask("keypad_flag"), "0");
}

INSTANTIATE_TEST_SUITE_P(
    Ways, TopEnds,
    testing::Values(End{"Quit", [](const Tmux& terminal) { terminal.type("q"); }},
                    End{"CtrlC", [](const Tmux& terminal) { terminal.press("C-c"); }},
                    End{"CtrlBackslash", [](const Tmux& terminal) { terminal.press("C-\\\\"); }},
                    End{"Terminated", [](const Tmux& terminal) { ::kill(pid_of_top(terminal), SIGTERM); }},
                    End{"HungUp", [](const Tmux& terminal) { ::kill(pid_of_top(terminal), SIGHUP); }}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(Top, AFailureLeavesTheTerminalAsItWas) {
  CHAOS_NEEDS_ROOT();
  const Tmux terminal(80, 24);
  const std::string before = terminal.settings();
  terminal.enter(CHAOS_TOP_THROWS "; echo has-ended-$?");
  ASSERT_TRUE(terminal.shows("about to fail")) << terminal.text();
  EXPECT_EQ(terminal.ask("alternate_on"), "1");
  terminal.type("x");
  EXPECT_TRUE(terminal.shows("has-ended-1"));
  EXPECT_THAT(terminal.text(), HasSubstr("chaosctl: has failed"));
  EXPECT_EQ(terminal.ask("alternate_on"), "0");
  EXPECT_EQ(terminal.ask("cursor_flag"), "1");
  EXPECT_TRUE(eventually([&] { return terminal.settings() == before; })) << terminal.settings();
}

TEST(Top, IsSuspendedAndGoesOn) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const Tmux terminal(80, 24);
  const std::string before = terminal.settings();
  terminal.enter(scene.top());
  ASSERT_TRUE(is_up(terminal)) << terminal.text();
  for (const bool from_outside : {false, true}) {
    if (from_outside) {
      ::kill(pid_of_top(terminal), SIGTSTP);
    } else {
      terminal.press("C-z");
    }
    ASSERT_TRUE(terminal.shows("Stopped")) << terminal.text();
    EXPECT_EQ(terminal.ask("alternate_on"), "0");
    EXPECT_EQ(terminal.ask("cursor_flag"), "1");
    EXPECT_TRUE(eventually([&] { return terminal.settings() == before; })) << terminal.settings();
    terminal.resize(100, 30);
    terminal.enter("clear; fg");
    ASSERT_TRUE(is_up(terminal)) << terminal.text();
    EXPECT_EQ(terminal.ask("alternate_on"), "1");
    EXPECT_EQ(terminal.ask("cursor_flag"), "0");
    EXPECT_TRUE(eventually([&] { return terminal.screen().size() == 30; }));
    EXPECT_TRUE(eventually([&] { return terminal.screen().back().find("q quit") != std::string::npos; }));
  }
  terminal.type("q");
  EXPECT_TRUE(terminal.hides("q quit"));
  EXPECT_EQ(terminal.ask("alternate_on"), "0");
}

TEST(Top, FollowsTheSizeOfTheTerminal) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const Tmux terminal(80, 24);
  terminal.enter(scene.top());
  ASSERT_TRUE(is_up(terminal)) << terminal.text();
  EXPECT_THAT(terminal.text(), Not(HasSubstr("DEVICE")));
  terminal.resize(200, 60);
  EXPECT_TRUE(terminal.shows("DEVICE")) << terminal.text();
  EXPECT_TRUE(eventually([&] { return terminal.screen().at(59).find("q quit") != std::string::npos; }));
  terminal.resize(18, 3);
  EXPECT_TRUE(terminal.shows("too small")) << terminal.text();
  terminal.resize(80, 24);
  EXPECT_TRUE(eventually([&] { return terminal.screen().at(23).find("q quit") != std::string::npos; }))
      << terminal.text();
  EXPECT_THAT(terminal.text(), Not(HasSubstr("DEVICE")));
}

TEST(Top, StopsTheSelectedFaultOnceItIsConfirmed) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const VethPair net("topstop");
  const std::string id = id_of(scene.daemon->run_scenario(total_loss(net.left)));
  const Tmux terminal(100, 30);
  terminal.enter(scene.top());
  ASSERT_TRUE(terminal.shows("packet_loss")) << terminal.text();
  terminal.press("Enter");
  EXPECT_TRUE(terminal.shows("evaluated")) << terminal.text();
  EXPECT_THAT(terminal.text(), HasSubstr(id));
  terminal.press("Escape");
  EXPECT_TRUE(terminal.hides("evaluated"));
  terminal.type("x");
  EXPECT_TRUE(terminal.shows("Stop " + id)) << terminal.text();
  terminal.type("n");
  EXPECT_TRUE(terminal.shows("not stopped"));
  EXPECT_EQ(scene.daemon->scenario(id).at("state"), "active");
  terminal.type("x");
  EXPECT_TRUE(terminal.shows("Stop " + id));
  terminal.type("y");
  EXPECT_TRUE(terminal.shows("residue: none")) << terminal.text();
  EXPECT_EQ(scene.daemon->scenario(id).at("end_reason"), "stopped");
  EXPECT_TRUE(terminal.shows("0 active"));
}

TEST(Top, EmergencyStopOnceItIsConfirmed) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const VethPair net("topbrake");
  const std::string id = id_of(scene.daemon->run_scenario(total_loss(net.left)));
  const Tmux terminal(100, 30);
  terminal.enter(scene.top());
  ASSERT_TRUE(terminal.shows("packet_loss")) << terminal.text();
  terminal.type("E");
  EXPECT_TRUE(terminal.shows("EMERGENCY STOP: end all faults"));
  EXPECT_FALSE(scene.daemon->get("/health").body.at("latched").get<bool>());
  terminal.type("y");
  EXPECT_TRUE(terminal.shows("emergency stop: 1 ended, latched")) << terminal.text();
  EXPECT_TRUE(scene.daemon->get("/health").body.at("latched").get<bool>());
  EXPECT_EQ(wait_for_end(*scene.daemon, id).at("end_reason"), "emergency_stop");
  EXPECT_TRUE(terminal.shows("LATCHED"));
}

TEST(Top, EmergencyStopOfADaemonThatHangs) {
  CHAOS_NEEDS_ROOT();
  Scene scene;
  const Tmux terminal(120, 30);
  terminal.enter(scene.top());
  ASSERT_TRUE(is_up(terminal)) << terminal.text();
  scene.daemon->signal(SIGSTOP);
  terminal.type("E");
  EXPECT_TRUE(terminal.shows("EMERGENCY STOP: end all faults")) << "keys are answered while the daemon is not";
  terminal.type("y");
  EXPECT_TRUE(terminal.shows("emergency stop by force")) << terminal.text();
  EXPECT_EQ(WTERMSIG(scene.daemon->wait()), SIGKILL);
  EXPECT_TRUE(std::filesystem::exists(scene.daemon->runtime_dir() / "STOP"));
}

TEST(Top, TheDaemonGoesAndComesBack) {
  CHAOS_NEEDS_ROOT();
  Scene scene;
  const Tmux terminal(100, 30);
  terminal.enter(scene.top());
  ASSERT_TRUE(terminal.shows("unhealthy")) << terminal.text();
  scene.daemon->signal(SIGKILL);
  (void)scene.daemon->wait();
  EXPECT_TRUE(terminal.shows("NOT CONNECTED")) << terminal.text();
  EXPECT_THAT(terminal.text(), HasSubstr("bad")) << "what was last known stays";
  scene.daemon->start();
  EXPECT_TRUE(terminal.shows("started anew (pid " + std::to_string(scene.daemon->pid()) + ")")) << terminal.text();
  EXPECT_THAT(terminal.text(), Not(HasSubstr("NOT CONNECTED")));
  // One that hangs keeps nobody in the screen.
  scene.daemon->signal(SIGSTOP);
  EXPECT_TRUE(terminal.shows("NOT CONNECTED"));
  terminal.type("q");
  EXPECT_TRUE(eventually([&] { return terminal.ask("alternate_on") == "0"; }, std::chrono::seconds(2)));
  scene.daemon->signal(SIGCONT);
  EXPECT_TRUE(terminal.shows("ready>"));
}

TEST(Top, PausesAndChangesItsInterval) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const Tmux terminal(100, 30);
  terminal.enter(scene.top());
  ASSERT_TRUE(terminal.shows("every 250ms")) << terminal.text();
  terminal.type("+");
  EXPECT_TRUE(terminal.shows("every 500ms"));
  ASSERT_TRUE(eventually([&] { return terminal.line_with("good").find(" healthy") != std::string::npos; }))
      << terminal.text();
  terminal.type("p");
  EXPECT_TRUE(terminal.shows("paused"));
  std::filesystem::remove(scene.flag);
  EXPECT_TRUE(eventually([&] {
    const json services = scene.daemon->get("/api/services").body.at("services");
    for (const json& one : services) {
      if (one.at("name") == "good") return one.at("health").at("state") == "unhealthy";
    }
    return false;
  }));
  EXPECT_THAT(terminal.line_with("good"), Not(HasSubstr("unhealthy")));
  terminal.type("p");
  EXPECT_TRUE(eventually([&] { return terminal.line_with("good").find("unhealthy") != std::string::npos; }));
  terminal.type("h");
  EXPECT_TRUE(terminal.shows("stop the selected fault"));
  terminal.press("Escape");
  EXPECT_TRUE(terminal.hides("stop the selected fault"));
  terminal.type("13");
  EXPECT_TRUE(terminal.hides("PSI"));
  EXPECT_TRUE(terminal.hides("Services"));
}

TEST(Top, DropsAreAskedForByAKey) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const Tmux terminal(120, 30);
  terminal.enter(scene.top());
  ASSERT_TRUE(terminal.shows("not asked for: d")) << terminal.text();
  terminal.type("d");
  // Counts, or why there are none: both are the daemon's own words.
  const Response direct = scene.daemon->get("/api/monitoring/drops?lease=1s");
  EXPECT_TRUE(terminal.hides("not asked for"));
  EXPECT_TRUE(terminal.hides("the first counts come"));
  if (direct.status == 200) {
    EXPECT_TRUE(terminal.shows("natural in")) << terminal.text();
  } else if (direct.status == 404) {
    EXPECT_TRUE(terminal.shows("this chaosd has no such telemetry")) << terminal.text();
  } else {
    const std::string detail = direct.body.at("detail");
    EXPECT_TRUE(terminal.shows(detail.substr(0, 60))) << terminal.text();
  }
  terminal.type("d");
  EXPECT_TRUE(terminal.shows("not asked for: d"));
}

TEST(Top, ColoursAndPlainTerminals) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  {
    const Tmux terminal(100, 30);
    terminal.enter(scene.top());
    ASSERT_TRUE(terminal.shows("unhealthy")) << terminal.text();
    EXPECT_THAT(terminal.text_with_colours(), HasSubstr("[31m"));
  }
  {
    const Tmux terminal(100, 30, {"LC_ALL=C.UTF-8", "NO_COLOR=1"});
    terminal.enter(scene.top());
    ASSERT_TRUE(terminal.shows("unhealthy")) << terminal.text();
    EXPECT_THAT(terminal.text_with_colours(), AllOf(Not(HasSubstr("[31m")), Not(HasSubstr("[32m"))));
  }
  // All CPUs in use: the highest step.
  std::vector<std::unique_ptr<Child>> busy;
  for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); ++cpu) {
    busy.push_back(std::make_unique<Child>("/bin/sh", std::vector<std::string>{"sh", "-c", "while :; do :; done"}));
  }
  const Tmux terminal(200, 60, {"LC_ALL=C", "TERM=vt100"});
  terminal.enter(scene.top());
  ASSERT_TRUE(terminal.shows("unhealthy")) << terminal.text();
  EXPECT_TRUE(terminal.shows("#")) << "the past is drawn with what there is";
  for (const char c : terminal.text()) ASSERT_LT(static_cast<unsigned char>(c), 0x80) << terminal.text();
}

TEST(Top, WhereThereIsNoScreen) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  for (const auto& [setting, words] : {std::pair("TERM=dumb", "is \"dumb\""), std::pair("TERM=", "TERM is not set"),
                                       std::pair("TERM=no-such-terminal", "does not know the terminal")}) {
    const Tmux terminal(120, 24);
    terminal.enter(std::string(setting) + " " + scene.top() + "; echo has-ended-$?");
    EXPECT_TRUE(terminal.shows("has-ended-2")) << terminal.text();
    EXPECT_THAT(terminal.text(), AllOf(HasSubstr(words), HasSubstr("--once")));
  }
  const Outcome pipe = try_shell(scene.top() + " </dev/null");
  EXPECT_EQ(pipe.status, 2) << pipe.output;
  EXPECT_THAT(pipe.output, AllOf(HasSubstr("needs a terminal"), HasSubstr("--once")));
  const Outcome once = try_shell("COLUMNS=100 " + scene.top("--once"));
  EXPECT_EQ(once.status, 0) << once.output;
  EXPECT_THAT(once.output, AllOf(HasSubstr("CPU"), HasSubstr("bad"), Not(HasSubstr("\x1b"))));
  const Outcome batch = try_shell("timeout -s INT 3 " + scene.top("--batch") + " | grep -c ^CPU");
  EXPECT_GE(std::stoi(batch.output), 2) << batch.output;
}

TEST(Top, OverSsh) {
  CHAOS_NEEDS_ROOT();
  const Scene scene;
  const Namespace ns("topssh");
  const Sshd sshd(ns);
  const Tmux terminal(80, 24);
  const std::string before = terminal.settings();
  terminal.enter(sshd.client("LC_ALL=C.UTF-8 " + scene.top()) + "; echo has-ended-$?");
  ASSERT_TRUE(is_up(terminal)) << terminal.text();
  terminal.resize(200, 60);
  EXPECT_TRUE(terminal.shows("DEVICE")) << terminal.text();
  terminal.type("q");
  EXPECT_TRUE(terminal.shows("has-ended-0"));
  EXPECT_EQ(terminal.ask("alternate_on"), "0");
  EXPECT_EQ(terminal.ask("cursor_flag"), "1");

  // The line is cut: top goes as well.
  const auto tops = [&] {
    return try_shell("ps -eo args | grep -F -e '" + scene.daemon->socket() + " top' | grep -v -e grep -e ssh").output;
  };
  terminal.enter("clear");
  terminal.enter(sshd.client("LC_ALL=C.UTF-8 " + scene.top()));
  ASSERT_TRUE(is_up(terminal)) << terminal.text();
  EXPECT_NE(tops(), "");
  const std::string tty = terminal.ask("pane_tty").substr(5);
  (void)shell("kill -KILL $(pgrep -t " + tty + " -x ssh)");
  EXPECT_TRUE(eventually([&] { return tops().empty(); })) << tops();
}

}  // namespace
}  // namespace chaos::test
