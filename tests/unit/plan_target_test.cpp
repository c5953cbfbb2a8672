#include "plan/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace chaos {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Prefix prefix(std::string_view text) {
  const auto parsed = Prefix::parse(text);
  EXPECT_TRUE(parsed) << text << ": " << parsed.error().message;
  return parsed.value_or(Prefix{});
}

NetFilter filter(const TargetKeys& keys) {
  const auto parsed = parse_net_filter(keys);
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed.value_or(NetFilter{});
}

Error filter_error(const TargetKeys& keys) {
  const auto parsed = parse_net_filter(keys);
  EXPECT_FALSE(parsed);
  return parsed ? Error{} : parsed.error();
}

TEST(Prefix, HoldsIpv4AsMapped) {
  const Prefix p = prefix("10.1.0.0/16");
  EXPECT_TRUE(p.is_v4());
  EXPECT_EQ(p.bits, 112U);
  EXPECT_THAT(p.address, ElementsAre(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0, 0));
  EXPECT_EQ(prefix("10.0.0.1").bits, 128U);
  EXPECT_EQ(prefix("::ffff:10.0.0.1"), prefix("10.0.0.1"));
  EXPECT_EQ(prefix("0.0.0.0/0"), Prefix::all_v4());
}

TEST(Prefix, PrintsCanonically) {
  for (const char* text : {"10.0.0.0/8", "10.0.0.1", "0.0.0.0/0", "fd00::/8", "::/0", "::1", "2001:db8::/33"}) {
    EXPECT_EQ(prefix(text).str(), text);
  }
  EXPECT_EQ(prefix("10.0.0.1/32").str(), "10.0.0.1");
  EXPECT_EQ(prefix("2001:DB8:0:0::1/128").str(), "2001:db8::1");
}

TEST(Prefix, SuggestsTheMaskedPrefixForHostBits) {
  const auto v4 = Prefix::parse("10.1.2.3/12");
  ASSERT_FALSE(v4);
  EXPECT_EQ(v4.error().code, Errc::kInvalid);
  EXPECT_EQ(v4.error().rule, "host bits are zero");
  EXPECT_EQ(v4.error().hint, "write 10.0.0.0/12 for the range or 10.1.2.3 for the one address");
  EXPECT_THAT(Prefix::parse("fd00::1/8").error().hint, HasSubstr("fd00::/8"));
  EXPECT_THAT(Prefix::parse("0.0.0.1/0").error().hint, HasSubstr("0.0.0.0/0"));
}

TEST(Prefix, RefusesWhatIsNoPrefix) {
  for (const char* text : {"", "10.0.0", "10.0.0.256", "010.0.0.1", "host", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",
                           "10.0.0.0/8/8", "fd00::/129", "fd00:::1", "/8", "10.0.0.0 /8", "10.0.0.1-10.0.0.9"}) {
    const auto parsed = Prefix::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::kInvalid);
    EXPECT_FALSE(parsed.error().hint.empty());
  }
  EXPECT_EQ(Prefix::parse("fe80::1%eth0").error().rule, "no scope");
  EXPECT_FALSE(Prefix::parse(std::string_view("10.0.0.1\0x", 10)));
}

TEST(Prefix, ContainsNarrowerOnesOfItsFamily) {
  EXPECT_TRUE(prefix("10.0.0.0/8").contains(prefix("10.1.0.0/16")));
  EXPECT_TRUE(prefix("10.0.0.0/8").contains(prefix("10.0.0.0/8")));
  EXPECT_TRUE(prefix("0.0.0.0/0").contains(prefix("10.0.0.1")));
  EXPECT_TRUE(prefix("::/0").contains(prefix("fd00::1")));
  EXPECT_TRUE(prefix("2001:db8::/33").contains(prefix("2001:db8:7fff::1")));
  EXPECT_FALSE(prefix("2001:db8::/33").contains(prefix("2001:db8:8000::1")));
  EXPECT_FALSE(prefix("10.0.0.0/8").contains(prefix("11.0.0.1")));
  EXPECT_FALSE(prefix("10.1.0.0/16").contains(prefix("10.0.0.0/8")));
  EXPECT_FALSE(prefix("::/0").contains(prefix("10.0.0.1")));
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(prefix("::1")));
}

TEST(Target, KnowsTheKeysOfTheContract) {
  for (const char* key : {"host", "service", "unit", "cgroup", "container", "pid", "interface", "netns", "peer", "port",
                          "local-port", "protocol", "direction", "uid", "comm"}) {
    EXPECT_TRUE(is_target_key(key)) << key;
  }
  for (const char* key : {"", "Port", "local_port", "hosts", "interface "}) EXPECT_FALSE(is_target_key(key)) << key;
}

TEST(NetFilter, IsOpenWithoutNarrowingKeys) {
  const NetFilter open = filter({{"interface", {"eth0"}}});
  EXPECT_THAT(open.peers, IsEmpty());
  EXPECT_THAT(open.remote_ports, IsEmpty());
  EXPECT_THAT(open.local_ports, IsEmpty());
  EXPECT_THAT(open.protocols, IsEmpty());
  EXPECT_EQ(open.direction, Direction::kBoth);
}

TEST(NetFilter, RepeatedKeysMeanAnyOfThese) {
  const NetFilter f = filter({{"peer", {"fd00::/8", "10.0.0.0/8", "10.0.0.0/8"}}, {"port", {"443", "80"}}});
  EXPECT_EQ(f.peers.size(), 2U);
  EXPECT_THAT(f.peers, Contains(prefix("10.0.0.0/8")));
  EXPECT_THAT(f.peers, Contains(prefix("fd00::/8")));
  EXPECT_THAT(f.remote_ports, ElementsAre(80, 443));
}

TEST(NetFilter, HostNameGivesItsAddresses) {
  EXPECT_THAT(filter({{"peer", {"localhost"}}}).peers, Contains(prefix("127.0.0.1")));
}

TEST(NetFilter, UnknownHostIsNamed) {
  // RFC 6761: .invalid never resolves. Without a resolver the answer may be "try again".
  const Error error = filter_error({{"peer", {"chaosd-test.invalid"}}});
  EXPECT_TRUE(error.code == Errc::kNotFound || error.code == Errc::kUnavailable);
  EXPECT_EQ(error.field, "target.peer");
  EXPECT_THAT(error.message, HasSubstr("chaosd-test.invalid"));
}

TEST(NetFilter, NumbersAreNotLookedUp) {
  for (const char* text :
       {"10.1", "127.1", "10.0.0.300", "0x7f000001", "0x7f.1", "fd00::zz", "fe80::1%lo", "10.0.0.1/8", "host/24", ""}) {
    const Error error = filter_error({{"peer", {text}}});
    EXPECT_EQ(error.code, Errc::kInvalid) << text;
    EXPECT_EQ(error.field, "target.peer");
  }
}

TEST(NetFilter, PortsAreSingleListsAndRanges) {
  EXPECT_THAT(filter({{"port", {"1"}}}).remote_ports, ElementsAre(1));
  EXPECT_THAT(filter({{"port", {"80,443"}}}).remote_ports, ElementsAre(80, 443));
  EXPECT_THAT(filter({{"local-port", {"8000-8003"}}}).local_ports, ElementsAre(8000, 8001, 8002, 8003));
  EXPECT_THAT(filter({{"port", {"9,7-8,8-10"}}}).remote_ports, ElementsAre(7, 8, 9, 10));
  EXPECT_THAT(filter({{"port", {"1-65535"}}}).remote_ports, SizeIs(65535));
}

TEST(NetFilter, RefusesWhatIsNoPort) {
  for (const char* key : {"port", "local-port"}) {
    for (const char* text : {"", "0", "65536", "80,", ",80", "80-", "-80", "90-80", "0-10", "1-65536", "http", "80 ",
                             "80-81-82", "99999999999999999999"}) {
      const Error error = filter_error({{key, {text}}});
      EXPECT_EQ(error.code, Errc::kInvalid) << text;
      EXPECT_EQ(error.field, std::string("target.") + key);
      EXPECT_EQ(error.rule, "1 to 65535");
    }
  }
}

TEST(NetFilter, ProtocolsAreNamesAndNumbers) {
  EXPECT_THAT(filter({{"protocol", {"tcp"}}}).protocols, ElementsAre(6));
  EXPECT_THAT(filter({{"protocol", {"udp", "tcp", "6"}}}).protocols, ElementsAre(6, 17));
  EXPECT_THAT(filter({{"protocol", {"icmp"}}}).protocols, ElementsAre(1, 58));
  EXPECT_THAT(filter({{"protocol", {"icmpv6"}}}).protocols, ElementsAre(58));
  EXPECT_THAT(filter({{"protocol", {"0", "255"}}}).protocols, ElementsAre(0, 255));
  for (const char* text : {"", "256", "-1", "TCP", "http"}) {
    const Error error = filter_error({{"protocol", {text}}});
    EXPECT_EQ(error.code, Errc::kInvalid) << text;
    EXPECT_EQ(error.field, "target.protocol");
  }
}

TEST(NetFilter, PortsNeedAProtocolThatHasThem) {
  EXPECT_EQ(filter_error({{"protocol", {"icmp"}}, {"port", {"80"}}}).field, "target.port");
  EXPECT_EQ(filter_error({{"protocol", {"icmpv6", "47"}}, {"local-port", {"80"}}}).field, "target.local-port");
  EXPECT_EQ(filter_error({{"protocol", {"icmp"}}, {"port", {"80"}}}).code, Errc::kInvalid);
  for (const char* protocol : {"tcp", "udp", "132", "33", "136"}) {
    EXPECT_THAT(filter({{"protocol", {protocol, "icmp"}}, {"port", {"80"}}}).remote_ports, ElementsAre(80));
  }
}

TEST(NetFilter, DirectionsJoin) {
  EXPECT_EQ(filter({{"direction", {"egress"}}}).direction, Direction::kEgress);
  EXPECT_EQ(filter({{"direction", {"ingress"}}}).direction, Direction::kIngress);
  EXPECT_EQ(filter({{"direction", {"both"}}}).direction, Direction::kBoth);
  EXPECT_EQ(filter({{"direction", {"egress", "ingress"}}}).direction, Direction::kBoth);
  EXPECT_EQ(filter_error({{"direction", {"out"}}}).field, "target.direction");
  EXPECT_EQ(to_string(Direction::kEgress), "egress");
  EXPECT_EQ(to_string(Direction::kIngress), "ingress");
  EXPECT_EQ(to_string(Direction::kBoth), "both");
}

TEST(NetFilter, KeyWithoutValueIsNotTakenAsOpen) {
  for (const char* key : {"peer", "port", "local-port", "protocol", "direction"}) {
    const Error error = filter_error({{key, {}}});
    EXPECT_EQ(error.code, Errc::kInvalid) << key;
    EXPECT_EQ(error.field, std::string("target.") + key);
  }
}

}  // namespace
}  // namespace chaos
