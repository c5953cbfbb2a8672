#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "ctl/completion.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using ctl::Candidate;
using ctl::complete;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

std::vector<std::string> values(const std::vector<std::string>& words) {
  std::vector<std::string> found;
  for (const Candidate& candidate : complete(words)) found.push_back(candidate.value);
  return found;
}

class CtlCompletion : public testing::Test {
 protected:
  ScratchDir dir_;
  FakeDaemon daemon_{dir_ / "chaosd.sock", [](const FakeRequest& request) {
                       if (request.path == "/api/chaos/kinds") return FakeReply{200, kinds_body()};
                       if (request.path == "/api/chaos/scenarios?all=true") {
                         return FakeReply{200, R"({"scenarios":[{"id":"A1"},{"id":"A2"}]})"};
                       }
                       return FakeReply{200, R"({"scenarios":[{"id":"A1","kind":"packet_loss","state":"active"}]})"};
                     }};
  ScopedEnv socket_{"CHAOSD_SOCKET", daemon_.socket().c_str()};
};

TEST_F(CtlCompletion, VerbsAndOptions) {
  EXPECT_THAT(values({"st"}), UnorderedElementsAre("start", "stop"));
  EXPECT_THAT(values({""}), Contains("doctor"));
  EXPECT_THAT(values({"config", ""}), ElementsAre("check"));
  EXPECT_THAT(values({"list", "--a"}), ElementsAre("--all"));
  EXPECT_THAT(values({"audit", "--veri"}), ElementsAre("--verify"));
  EXPECT_THAT(values({"list", "--so"}), ElementsAre("--socket"));
  EXPECT_THAT(values({"to"}), ElementsAre("top"));
  EXPECT_THAT(values({"top", "--o"}), UnorderedElementsAre("--once", "--output"));
  EXPECT_THAT(values({"list", "-o", ""}), ElementsAre("table", "json"));
  EXPECT_THAT(values({"-o", "json", "sh"}), ElementsAre("show"));
  EXPECT_THAT(values({"start", "packet_loss", "--wait", "--rea"}), ElementsAre("--reason"));
}

TEST_F(CtlCompletion, AsksTheDaemonForKindsParametersAndIds) {
  EXPECT_THAT(values({"start", ""}), ElementsAre("packet_loss", "latency_injection"));
  EXPECT_THAT(values({"start", "--severity", "2", "pack"}), ElementsAre("packet_loss"));
  EXPECT_THAT(values({"kinds", "lat"}), ElementsAre("latency_injection"));
  EXPECT_THAT(values({"start", "packet_loss", "-p", ""}), ElementsAre("probability=", "model=", "max_events="));
  EXPECT_THAT(values({"start", "packet_loss", "--set", "model="}), ElementsAre("model=random", "model=per_flow"));
  EXPECT_THAT(values({"start", "packet_loss", "--target", "p"}), ElementsAre("peer=", "port="));
  EXPECT_THAT(values({"drops", "--target", "c"}), ElementsAre("cgroup=", "container="));
  EXPECT_THAT(values({"start", "packet_loss", "--target", "interface=l"}), Contains("interface=lo"));
  EXPECT_THAT(values({"show", ""}), ElementsAre("A1", "A2"));
  EXPECT_THAT(values({"stop", ""}), ElementsAre("A1"));
  EXPECT_THAT(values({"stop", "A1", ""}), IsEmpty());
}

TEST_F(CtlCompletion, ADaemonThatDoesNotAnswerIsNoError) {
  EXPECT_THAT(values({"--socket", (dir_ / "none").string(), "start", ""}), IsEmpty());
  const Ran ran = run_ctl({"__complete", "--socket", (dir_ / "none").string(), "show", ""});
  EXPECT_EQ(ran.exit, 0);
  EXPECT_EQ(ran.out + ran.err, "");
}

TEST_F(CtlCompletion, PrintsValueAndHelp) {
  EXPECT_EQ(run_ctl({"__complete", "stop", ""}).out, "A1\tpacket_loss, active\n");
}

std::string output_of(const std::string& command) {
  std::string text;
  if (FILE* pipe = ::popen(command.c_str(), "r"); pipe != nullptr) {
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
    text += ::pclose(pipe) == 0 ? "" : "(failed)";
  }
  return text;
}

TEST_F(CtlCompletion, TheBashScriptCompletesInBash) {
  const auto script = dir_ / "chaosctl.bash";
  write_text(script, run_ctl({"completion", "bash"}).out);
  EXPECT_EQ(output_of("bash -n " + script.string()), "");
  // COMP_WORDS as bash makes them: '=' is a word of its own.
  const auto complete_in_bash = [&](const std::string& line, const std::string& words, int current) {
    write_text(dir_ / "try.bash",
               "source " + script.string() + "\ncompopt() { :; }\nchaosctl() { " CHAOS_BIN_DIR "/chaosctl \"$@\"; }\n" +
                   "COMP_LINE='" + line + "'\nCOMP_POINT=${#COMP_LINE}\nCOMP_WORDS=(" + words +
                   ")\nCOMP_CWORD=" + std::to_string(current) + "\n_chaosctl\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n");
    return output_of("bash " + (dir_ / "try.bash").string());
  };
  EXPECT_EQ(complete_in_bash("chaosctl show ", "chaosctl show ''", 2), "A1\nA2\n");
  EXPECT_EQ(complete_in_bash("chaosctl start packet_loss -p mod", "chaosctl start packet_loss -p mod", 4), "model=\n");
  EXPECT_EQ(complete_in_bash("chaosctl start packet_loss -p model=", "chaosctl start packet_loss -p model =", 5),
            "random\nper_flow\n");
  EXPECT_EQ(complete_in_bash("chaosctl start packet_loss -p model=r", "chaosctl start packet_loss -p model = r", 6),
            "random\n");
}

TEST_F(CtlCompletion, EveryShellHasAScript) {
  EXPECT_THAT(run_ctl({"completion", "zsh"}).out, testing::StartsWith("#compdef chaosctl\n"));
  EXPECT_THAT(run_ctl({"completion", "fish"}).out, HasSubstr("complete -c chaosctl"));
}

}  // namespace
}  // namespace chaos::test
