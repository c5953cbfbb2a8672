// Who may do what. The cases with other users need root; role_of() is tested without.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "api/idempotency.h"
#include "api/problem.h"
#include "api/router.h"
#include "api_support.h"
#include "tests/support/kernel_test.h"
#include "tests/support/proc_fixture.h"

namespace chaos::test {
namespace {

using nlohmann::json;

constexpr uid_t kSomebody = 65533;
constexpr gid_t kOperators = 65001;
constexpr gid_t kViewers = 65002;
constexpr gid_t kOthers = 65003;
constexpr RoleGroups kGroups{.operate = kOperators, .view = kViewers};

Peer peer(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) {
  return {.caller = {.uid = uid, .gid = gid, .pid = 1, .login_uid = {}, .user = "u", .comm = "c"},
          .groups = std::move(groups)};
}

TEST(Identity, RoleFollowsFromUidAndGroups) {
  EXPECT_EQ(role_of(peer(0, 0), {}), Role::kOperate);
  EXPECT_EQ(role_of(peer(1, kOperators), kGroups), Role::kOperate);
  EXPECT_EQ(role_of(peer(1, kOthers, {kViewers, kOperators}), kGroups), Role::kOperate);
  EXPECT_EQ(role_of(peer(1, kOthers, {kOthers, kViewers}), kGroups), Role::kView);
  EXPECT_EQ(role_of(peer(1, kViewers), kGroups), Role::kView);
  EXPECT_EQ(role_of(peer(1, kOthers, {kOthers}), kGroups), Role::kNone);
  EXPECT_EQ(role_of(peer(1, 0, {0}), {}), Role::kNone) << "groups that do not exist grant nobody, not gid 0";
}

TEST(Identity, LooksGroupsUp) {
  const auto groups = RoleGroups::look_up("root", "no-such-group-for-chaosd");
  EXPECT_EQ(groups.operate, 0U);
  EXPECT_EQ(groups.view, std::nullopt);
  EXPECT_EQ(RoleGroups::look_up("", "").operate, std::nullopt);
}

struct SocketPair {
  SocketPair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    one.reset(ends[0]);
    other.reset(ends[1]);
  }
  UniqueFd one;
  UniqueFd other;
};

TEST(Identity, KnowsThePeer) {
  const SocketPair pair;
  const auto me = identify_peer(pair.one.get());
  ASSERT_TRUE(me.has_value()) << me.error().message;
  EXPECT_EQ(me->caller.uid, ::getuid());
  EXPECT_EQ(me->caller.gid, ::getgid());
  EXPECT_EQ(me->caller.pid, ::getpid());
  std::string comm;
  std::getline(std::ifstream("/proc/self/comm"), comm);
  EXPECT_EQ(me->caller.comm, comm);
  std::vector<gid_t> groups(static_cast<std::size_t>(::getgroups(0, nullptr)));
  ASSERT_GE(::getgroups(static_cast<int>(groups.size()), groups.data()), 0);
  EXPECT_EQ(me->groups, groups);
  EXPECT_EQ(me->caller.user == "root", ::getuid() == 0);
}

TEST(Identity, ReadsLoginUidUnlessUnset) {
  const SocketPair pair;
  const ProcFixture proc;
  proc.add_process(::getpid(), "vi", 1);
  const auto login_uid = [&](std::string_view text) {
    proc.write(::getpid(), "loginuid", text);
    return identify_peer(pair.one.get(), proc.root())->caller.login_uid;
  };
  EXPECT_EQ(login_uid("1000"), 1000U);
  EXPECT_EQ(login_uid("0"), 0U);
  EXPECT_EQ(login_uid("4294967295"), std::nullopt);
  EXPECT_EQ(login_uid(""), std::nullopt);
  EXPECT_EQ(identify_peer(pair.one.get(), proc.root())->caller.comm, "vi");
}

TEST(Identity, GoneProcessHasNoComm) {
  const SocketPair pair;
  const TempDir empty;
  const auto found = identify_peer(pair.one.get(), empty.path());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->caller.comm, "");
  EXPECT_EQ(found->caller.login_uid, std::nullopt);
}

TEST(Identity, NeedsASocket) { EXPECT_FALSE(identify_peer(STDERR_FILENO).has_value()); }

/// A router with one route to read and one to operate, on both sockets.
struct Roles : testing::Test {
  Roles() {
    const auto handler = [](const HttpRequest& request, Respond respond) {
      respond(json_response(200, {{"role", to_string(request.role)}}));
    };
    std::vector<Route> routes(2);
    routes[0] = {.method = "GET", .pattern = "/read", .role = Role::kView, .operation = "read_it", .handler = handler};
    routes[1] = {
        .method = "POST", .pattern = "/act/{id}", .role = Role::kOperate, .operation = "act", .handler = handler};
    routes[1].audited = true;
    router = std::make_unique<Router>(
        std::move(routes), table, [this](AuditEntry entry) { log.push_back(std::move(entry)); }, system_clock());
    server = std::make_unique<TestServer>(
        [this](const HttpRequest& request, Respond respond) { router->dispatch(request, std::move(respond)); },
        HttpLimits{}, kGroups);
  }

  int status_as(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, std::string_view method,
                std::string_view target, bool view = false) {
    last = ask_as(uid, gid, groups, view ? server->view_path() : server->path(), request_text(method, target));
    return last.status;
  }
  std::vector<AuditEntry> audit() {
    return server->thread().call([this] { return std::exchange(log, {}); });
  }

  IdempotencyTable table{system_clock()};
  std::vector<AuditEntry> log;
  std::unique_ptr<Router> router;
  std::unique_ptr<TestServer> server;
  Reply last;
};

struct RolesAsRoot : Roles {
  void SetUp() override {
    CHAOS_NEEDS_ROOT();  // to become another user
  }
};

TEST_F(RolesAsRoot, StrangersAreRefusedEverything) {
  EXPECT_EQ(status_as(kSomebody, kOthers, {kOthers}, "GET", "/read"), 403);
  EXPECT_EQ(json::parse(last.body)["type"], "urn:chaosd:problem:denied");
  EXPECT_EQ(status_as(kSomebody, kOthers, {}, "POST", "/act/1"), 403);
  EXPECT_EQ(status_as(kSomebody, kOthers, {}, "GET", "/no/such/path"), 403) << "not even what exists";
  EXPECT_EQ(status_as(kSomebody, kOthers, {}, "GET", "/read", true), 403);
}

TEST_F(RolesAsRoot, ViewersRead) {
  for (const bool view_socket : {false, true}) {
    EXPECT_EQ(status_as(kSomebody, kViewers, {}, "GET", "/read", view_socket), 200);
    EXPECT_EQ(status_as(kSomebody, kOthers, {kOthers, kViewers}, "GET", "/read", view_socket), 200);
    EXPECT_EQ(json::parse(last.body)["role"], "view");
    EXPECT_EQ(status_as(kSomebody, kViewers, {}, "POST", "/act/1", view_socket), 403);
  }
}

TEST_F(RolesAsRoot, OperatorsDoBothButNotOnTheViewSocket) {
  EXPECT_EQ(status_as(kSomebody, kOperators, {}, "POST", "/act/1"), 200);
  EXPECT_EQ(status_as(kSomebody, kOthers, {kOthers, kOperators}, "POST", "/act/1"), 200);
  EXPECT_EQ(status_as(kSomebody, kOthers, {kOperators}, "GET", "/read"), 200);
  EXPECT_EQ(status_as(kSomebody, kOthers, {kOperators}, "POST", "/act/1", true), 403);
  EXPECT_EQ(ask(server->path(), "POST", "/act/1").status, 200) << "root";
  const Reply root_on_view = ask(server->view_path(), "POST", "/act/1");
  EXPECT_EQ(root_on_view.status, 403);
  EXPECT_EQ(json::parse(root_on_view.body)["rule"], "GET only");
}

TEST_F(RolesAsRoot, GroupsAreFoundInLongLists) {
  std::vector<gid_t> many;
  for (gid_t gid = 100'000; gid < 100'300; ++gid) many.push_back(gid);
  many.push_back(kOperators);
  EXPECT_EQ(status_as(kSomebody, kOthers, many, "POST", "/act/1"), 200);
}

TEST_F(RolesAsRoot, RevokedGroupLosesItsRole) {
  server->thread().call([this] { server->server().set_groups({}); });
  EXPECT_EQ(status_as(kSomebody, kOthers, {kOperators}, "GET", "/read"), 403);
}

TEST_F(RolesAsRoot, RefusalsAreAudited) {
  status_as(kSomebody, kOthers, {}, "GET", "/read");
  status_as(kSomebody, kViewers, {}, "POST", "/act/42");
  status_as(kSomebody, kOthers, {}, "DELETE", "/x");
  const auto entries = audit();
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].action, "read_it");
  EXPECT_EQ(entries[0].uid, kSomebody);
  EXPECT_EQ(entries[0].status, 403);
  EXPECT_NE(entries[0].detail.find("no role"), std::string::npos);
  EXPECT_EQ(entries[1].action, "act");
  EXPECT_EQ(entries[1].scenario_id, "42");
  EXPECT_EQ(entries[1].socket, server->path());
  EXPECT_EQ(entries[2].action, "DELETE /x");
  for (const auto& entry : entries) EXPECT_NE(entry.time, WallTime{});
}

}  // namespace
}  // namespace chaos::test
