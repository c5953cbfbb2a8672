// config check: needs no daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ctl/problem.h"
#include "ctl_support.h"

namespace chaos::test {
namespace {

using ctl::Json;
using testing::AllOf;
using testing::HasSubstr;

TEST(CtlConfig, AGoodFileIsOkWithWhatIsNotInEffect) {
  const ScratchDir dir;
  write_text(dir / "good.yaml", "chaos_testing:\n  default_duration: 300\nmonitoring:\n  metrics_interval: 5\n");
  const std::string file = (dir / "good.yaml").string();
  const Ran ran = run_ctl({"config", "check", file});
  EXPECT_EQ(ran.exit, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr(file + ": OK\n"));
  const Ran json = run_ctl({"-o", "json", "config", "check", file});
  const Json document = Json::parse(json.out);
  EXPECT_EQ(document["ok"], true);
  for (const auto& key : document["not_in_effect"])
    EXPECT_THAT(ran.out, HasSubstr("not in effect yet  " + key.get<std::string>()));
  for (const auto& warning : document["warnings"]) EXPECT_THAT(ran.out, HasSubstr(warning.get<std::string>()));
}

TEST(CtlConfig, EveryErrorHasItsPlace) {
  const ScratchDir dir;
  write_text(dir / "bad.yaml", "chaos_testing:\n  default_duration: soon\n  typo: 1\n");
  const std::string file = (dir / "bad.yaml").string();
  const Ran ran = run_ctl({"config", "check", file});
  EXPECT_EQ(ran.exit, 2);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, AllOf(HasSubstr("bad.yaml:2:"), HasSubstr("bad.yaml:3:"), HasSubstr("typo")));
  const Ran json = run_ctl({"-o", "json", "config", "check", file});
  EXPECT_EQ(json.exit, 2);
  EXPECT_EQ(Json::parse(json.err)["errors"].size(), 2U);
}

TEST(CtlConfig, AMissingFileIsNotFound) {
  const Ran ran = run_ctl({"config", "check", "/nonexistent/chaosd.yaml"});
  EXPECT_EQ(ran.exit, 3);
  EXPECT_THAT(ran.err, HasSubstr("/nonexistent/chaosd.yaml"));
}

}  // namespace
}  // namespace chaos::test
