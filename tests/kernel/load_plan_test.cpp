// What resource_exhaustion refuses to take, and whom it says that it touches.
#include <gmock/gmock.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "load_bed.h"
#include "support/child.h"
#include "support/limited.h"
#include "support/loop_file_system.h"

namespace chaos::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// The root of a guest is memory.
bool on_disk(const char* path) {
  struct statfs of {};
  return ::statfs(path, &of) == 0 && of.f_type != TMPFS_MAGIC && of.f_type != RAMFS_MAGIC;
}

TEST_F(Loads, WhatCannotBeTakenIsRefusedWithTheReason) {
  const LimitedCgroup cgroup("memory");
  const Child member("/bin/sleep", {"sleep", "1000"});
  cgroup.add(member.pid());
  const auto bad = [](const char* field) { return std::tuple(400L, std::string(field), false); };
  const json fill{{"resource", "disk"}, {"mode", "fill"}, {"level", "50%"}};
  const auto with = [](json parameters, const char* name, const char* value) {
    parameters[name] = value;
    return parameters;
  };
  EXPECT_EQ(refusal(request({{"host", "elsewhere"}}, {{"resource", "cpu"}, {"mode", "load"}, {"level", "5%"}})),
            bad("target.host"));
  EXPECT_EQ(refusal(request(host(), {{"resource", "cpu"}, {"mode", "throttle"}, {"level", "5%"}})), bad("target"));
  EXPECT_EQ(refusal({{"kind", "packet_loss"}, {"target", host()}, {"parameters", {{"probability", "1%"}}}}),
            bad("target.host"));
  const json load{{"resource", "cpu"}, {"mode", "load"}, {"level", "5%"}};
  EXPECT_EQ(refusal(request(host(), with(load, "cpus", "0-99999"))), bad("parameters.cpus"));
  EXPECT_EQ(refusal(request(host(), with(load, "path", "/"))), bad("parameters.path"));
  EXPECT_EQ(refusal(request(host(), {{"resource", "cpu"}, {"mode", "load"}})), bad("parameters.level"));
  EXPECT_EQ(refusal(request(host(), {{"resource", "memory"}, {"mode", "pressure"}, {"level", "96%"}})),
            bad("parameters.level"));
  // No limit, so no share of it.
  EXPECT_EQ(refusal(request(inside(cgroup), {{"resource", "memory"}, {"mode", "pressure"}, {"level", "50%"}})),
            std::tuple(501L, std::string("target"), false));
  EXPECT_EQ(refusal(request(host(), fill)), bad("parameters.path"));
  EXPECT_EQ(refusal(request(host(), with(fill, "path", "here"))), bad("parameters.path"));
  EXPECT_EQ(refusal(request(host(), with(fill, "path", "/nowhere"))),
            std::tuple(404L, std::string("parameters.path"), false));
  EXPECT_EQ(refusal(request(host(), with(fill, "path", "/dev/shm"))),
            std::tuple(409L, std::string("parameters.path"), false));
  EXPECT_EQ(refusal(request(host(), with(fill, "path", "/proc"))),
            std::tuple(501L, std::string("parameters.path"), false));
  if (on_disk("/")) {
    EXPECT_EQ(refusal(request(host(), with(with(fill, "path", "/"), "leave", "1GiB"))), bad("parameters.leave"));
  }
  EXPECT_EQ(refusal(request(inside(cgroup), with(fill, "path", "/"))), bad("target"));
  EXPECT_EQ(refusal(request(host(), {{"resource", "disk"}, {"mode", "io_load"}, {"path", "/"}})),
            bad("parameters.rate"));
  expect_nothing_left();
}

TEST_F(Loads, TheHostIsEverybodysAndAFileSystemItsUsers) {
  const LoopFileSystem disk(64);
  const auto plan = [&](const json& parameters) {
    const Response answer = daemon_->post("/api/chaos/plan", request(host(), parameters));
    EXPECT_EQ(answer.status, 200) << answer.text;
    return answer.body.at("scenario");
  };
  const auto touches = [](const json& body) { return body.at("plan").at("touches").dump(); };
  const json already = plan({{"resource", "memory"}, {"mode", "pressure"}, {"level", "1%"}});
  EXPECT_THAT(already.at("warnings").dump(), HasSubstr("in use already"));
  const json cpu = plan({{"resource", "cpu"}, {"mode", "load"}, {"level", "50%"}});
  EXPECT_THAT(touches(cpu), HasSubstr("everything on this host"));
  EXPECT_EQ(cpu.at("plan").at("blast_radius"), "1.00");
  if (on_disk("/var")) {
    const json var = plan({{"resource", "disk"}, {"mode", "fill"}, {"level", "50%"}, {"path", "/var"}});
    EXPECT_EQ(var.at("plan").at("blast_radius"), "1.00");
  }
  const json fill = plan({{"resource", "disk"}, {"mode", "fill"}, {"level", "50%"}, {"path", disk.root().string()}});
  EXPECT_THAT(touches(fill), HasSubstr("file system of"));
  EXPECT_EQ(fill.at("warnings").dump().find("in use already"), std::string::npos);
  EXPECT_NE(fill.at("plan").at("blast_radius"), "1.00");
}

}  // namespace
}  // namespace chaos::test
