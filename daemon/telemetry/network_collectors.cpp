// Interfaces and qdiscs (rtnetlink), protocol counters, softnet and sockets of the network namespace of chaosd:
// Documentation/networking/snmp_counter.rst, net/core/net-procfs.c.
#include <fmt/format.h>
#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <net/if.h>
#include <netlink/attr.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>

#include "kernel/netlink.h"
#include "telemetry/collector.h"
#include "telemetry/sampled_file.h"

namespace chaos {
namespace {

using std::string_view;

constexpr MetricSpec counter(string_view name, string_view unit, string_view help,
                             std::array<string_view, 4> labels = {}) {
  return {name, MetricType::kCounter, unit, 1, help, labels};
}
constexpr MetricSpec gauge(string_view name, string_view unit, string_view help,
                           std::array<string_view, 4> labels = {}) {
  return {name, MetricType::kGauge, unit, 1, help, labels};
}

struct LinkColumn {
  __u64 rtnl_link_stats64::*field;
  MetricSpec metric;
};
constexpr std::array kLink{
    LinkColumn{&rtnl_link_stats64::rx_bytes,
               counter("chaosd_host_network_receive_bytes_total", "bytes", "Bytes received.", {"device"})},
    LinkColumn{&rtnl_link_stats64::rx_packets,
               counter("chaosd_host_network_receive_packets_total", "", "Packets received.", {"device"})},
    LinkColumn{&rtnl_link_stats64::rx_dropped,
               counter("chaosd_host_network_receive_drop_total", "", "Packets received and dropped.", {"device"})},
    LinkColumn{&rtnl_link_stats64::rx_errors,
               counter("chaosd_host_network_receive_errs_total", "", "Bad packets received.", {"device"})},
    LinkColumn{&rtnl_link_stats64::tx_bytes,
               counter("chaosd_host_network_transmit_bytes_total", "bytes", "Bytes sent.", {"device"})},
    LinkColumn{&rtnl_link_stats64::tx_packets,
               counter("chaosd_host_network_transmit_packets_total", "", "Packets sent.", {"device"})},
    LinkColumn{&rtnl_link_stats64::tx_dropped,
               counter("chaosd_host_network_transmit_drop_total", "", "Packets dropped instead of sent.", {"device"})},
    LinkColumn{&rtnl_link_stats64::tx_errors,
               counter("chaosd_host_network_transmit_errs_total", "", "Packets that could not be sent.", {"device"})},
};
constexpr MetricSpec kLinkUp =
    gauge("chaosd_host_network_up", "", "1: the interface can carry packets (operational state).", {"device"});
constexpr MetricSpec kCarrier = counter("chaosd_host_network_carrier_changes_total", "",
                                        "How often the interface's carrier came or went.", {"device"});
constexpr MetricSpec kQdiscDrops =
    counter("chaosd_host_qdisc_drops_total", "", "Packets that the qdisc dropped.", {"device", "qdisc", "parent"});
constexpr MetricSpec kQdiscBacklog =
    gauge("chaosd_host_qdisc_backlog_bytes", "bytes", "Bytes that wait in the qdisc.", {"device", "qdisc", "parent"});
constexpr MetricSpec kQdiscOverlimits = counter(
    "chaosd_host_qdisc_overlimits_total", "", "How often the qdisc held packets back.", {"device", "qdisc", "parent"});

template <class T>
std::optional<T> payload_of(nlattr* attribute) {
  if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(T))) return std::nullopt;
  T value{};
  std::memcpy(&value, nla_data(attribute), sizeof value);
  return value;
}

string_view text_of(nlattr* attribute) {
  return attribute == nullptr ? string_view{} : string_view(nla_get_string(attribute));
}

/// "root", "ingress", or MAJOR:MINOR as tc(8) prints it.
std::string parent_text(std::uint32_t parent) {
  if (parent == TC_H_ROOT) return "root";
  if (parent == TC_H_INGRESS) return "ingress";
  return fmt::format("{:x}:{:x}", parent >> 16, parent & 0xffff);
}

class LinkCollector final : public Collector {
 public:
  [[nodiscard]] string_view name() const override { return "network"; }

  Status collect(Registry& registry) override {
    if (!netlink_) {
      auto netlink = Netlink::open();
      if (!netlink) return std::unexpected(netlink.error());
      netlink_.emplace(std::move(*netlink));
    }
    Names names;
    Status status = take_links(names, registry);
    if (status) {
      status = netlink_->dump(RTM_GETQDISC, tcmsg{}, [&](nlmsghdr* message) { take_qdisc(message, names, registry); });
    }
    if (!status) netlink_.reset();  // answers of a dump that failed may still come
    return status;
  }

 private:
  using Names = std::map<int, std::string>;

  /// An answer that changes interrupted may leave out interfaces that stay: it is asked for again, and what one left
  /// out another has. Where interfaces change all the time each is interrupted: all of them together are taken then.
  Status take_links(Names& names, Registry& registry) {
    constexpr int kTries = 5;
    Status status;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      status =
          netlink_->dump(RTM_GETLINK, ifinfomsg{}, [&](nlmsghdr* message) { take_link(message, names, registry); });
      if (status || status.error().sys_errno != EINTR) return status;
    }
    return {};
  }

  static void take_link(nlmsghdr* message, Names& names, Registry& registry) {
    if (message->nlmsg_type != RTM_NEWLINK) return;
    const auto* info = static_cast<const ifinfomsg*>(nlmsg_data(message));
    const string_view device = text_of(nlmsg_find_attr(message, sizeof(ifinfomsg), IFLA_IFNAME));
    if (device.empty()) return;
    names[info->ifi_index] = device;
    if (const auto stats = payload_of<rtnl_link_stats64>(nlmsg_find_attr(message, sizeof(ifinfomsg), IFLA_STATS64))) {
      for (const LinkColumn& what : kLink) {
        registry.set(what.metric, {device}, static_cast<std::int64_t>((*stats).*what.field));
      }
    }
    constexpr unsigned kUpAndRunning = IFF_UP | IFF_RUNNING;
    registry.set(kLinkUp, {device}, (info->ifi_flags & kUpAndRunning) == kUpAndRunning ? 1 : 0);
    if (const auto changes =
            payload_of<std::uint32_t>(nlmsg_find_attr(message, sizeof(ifinfomsg), IFLA_CARRIER_CHANGES))) {
      registry.set(kCarrier, {device}, *changes);
    }
  }

  static void take_qdisc(nlmsghdr* message, const Names& names, Registry& registry) {
    if (message->nlmsg_type != RTM_NEWQDISC) return;
    const auto* info = static_cast<const tcmsg*>(nlmsg_data(message));
    const string_view kind = text_of(nlmsg_find_attr(message, sizeof(tcmsg), TCA_KIND));
    const auto device = names.find(info->tcm_ifindex);
    if (kind.empty() || kind == "noqueue" || device == names.end()) return;
    nlattr* stats = nlmsg_find_attr(message, sizeof(tcmsg), TCA_STATS2);
    if (stats == nullptr) return;
    const auto queue =
        payload_of<gnet_stats_queue>(nla_find(static_cast<nlattr*>(nla_data(stats)), nla_len(stats), TCA_STATS_QUEUE));
    if (!queue) return;
    const std::string parent = parent_text(info->tcm_parent);
    registry.set(kQdiscDrops, {device->second, kind, parent}, queue->drops);
    registry.set(kQdiscBacklog, {device->second, kind, parent}, queue->backlog);
    registry.set(kQdiscOverlimits, {device->second, kind, parent}, queue->overlimits);
  }

  std::optional<Netlink> netlink_;
};

/// One column of a file whose lines come in pairs: names, then values, both behind "PROTOCOL:".
struct ProtocolColumn {
  string_view protocol;
  string_view column;
  MetricSpec metric;
};
constexpr std::array kProtocols{
    ProtocolColumn{"Tcp:", "ActiveOpens", counter("chaosd_host_tcp_active_opens_total", "", "Connections begun here.")},
    ProtocolColumn{"Tcp:", "PassiveOpens", counter("chaosd_host_tcp_passive_opens_total", "", "Connections accepted.")},
    ProtocolColumn{"Tcp:", "AttemptFails",
                   counter("chaosd_host_tcp_attempt_fails_total", "", "Connections that never came about.")},
    ProtocolColumn{"Tcp:", "EstabResets",
                   counter("chaosd_host_tcp_established_resets_total", "", "Connections that were reset.")},
    ProtocolColumn{"Tcp:", "CurrEstab", gauge("chaosd_host_tcp_established", "", "Connections that are there.")},
    ProtocolColumn{"Tcp:", "InSegs", counter("chaosd_host_tcp_received_segments_total", "", "Segments received.")},
    ProtocolColumn{"Tcp:", "OutSegs",
                   counter("chaosd_host_tcp_sent_segments_total", "", "Segments sent, without retransmitted ones.")},
    ProtocolColumn{"Tcp:", "RetransSegs",
                   counter("chaosd_host_tcp_retransmitted_segments_total", "", "Segments sent again.")},
    ProtocolColumn{"Tcp:", "InErrs", counter("chaosd_host_tcp_receive_errors_total", "", "Bad segments received.")},
    ProtocolColumn{"Tcp:", "OutRsts", counter("chaosd_host_tcp_resets_sent_total", "", "Segments with RST sent.")},
    ProtocolColumn{"Udp:", "InDatagrams",
                   counter("chaosd_host_udp_received_datagrams_total", "", "Datagrams delivered (IPv4).")},
    ProtocolColumn{"Udp:", "OutDatagrams",
                   counter("chaosd_host_udp_sent_datagrams_total", "", "Datagrams sent (IPv4).")},
    ProtocolColumn{"Udp:", "InErrors",
                   counter("chaosd_host_udp_receive_errors_total", "", "Datagrams not delivered (IPv4).")},
    ProtocolColumn{"Udp:", "RcvbufErrors",
                   counter("chaosd_host_udp_receive_buffer_errors_total", "",
                           "Datagrams dropped because the socket's buffer was full (IPv4).")},
    ProtocolColumn{"Udp:", "SndbufErrors",
                   counter("chaosd_host_udp_send_buffer_errors_total", "",
                           "Datagrams not sent because a buffer was full (IPv4).")},
    ProtocolColumn{"Ip:", "InDiscards",
                   counter("chaosd_host_ip_receive_discards_total", "", "Good packets dropped on arrival (IPv4).")},
    ProtocolColumn{"Ip:", "OutDiscards",
                   counter("chaosd_host_ip_send_discards_total", "", "Good packets dropped instead of sent (IPv4).")},
    ProtocolColumn{"TcpExt:", "TCPTimeouts",
                   counter("chaosd_host_tcp_timeouts_total", "", "Retransmission timers that ran out.")},
    ProtocolColumn{"TcpExt:", "TCPSynRetrans",
                   counter("chaosd_host_tcp_syn_retransmits_total", "", "SYN and SYN-ACK sent again.")},
    ProtocolColumn{"TcpExt:", "TCPLostRetransmit",
                   counter("chaosd_host_tcp_lost_retransmits_total", "", "Retransmitted segments lost again.")},
    ProtocolColumn{"TcpExt:", "ListenOverflows",
                   counter("chaosd_host_tcp_listen_overflows_total", "", "Connections refused: accept queue full.")},
    ProtocolColumn{"TcpExt:", "ListenDrops",
                   counter("chaosd_host_tcp_listen_drops_total", "", "Connection requests dropped by listeners.")},
    ProtocolColumn{"TcpExt:", "TCPBacklogDrop",
                   counter("chaosd_host_tcp_backlog_drops_total", "", "Segments dropped: socket backlog full.")},
    ProtocolColumn{"TcpExt:", "TCPRcvQDrop",
                   counter("chaosd_host_tcp_receive_queue_drops_total", "", "Segments dropped: receive queue full.")},
    ProtocolColumn{"TcpExt:", "TCPAbortOnTimeout",
                   counter("chaosd_host_tcp_aborts_on_timeout_total", "", "Connections given up: no answer.")},
};
constexpr std::array kProtocols6{
    ProtocolColumn{"", "Udp6InDatagrams",
                   counter("chaosd_host_udp6_received_datagrams_total", "", "Datagrams delivered (IPv6).")},
    ProtocolColumn{"", "Udp6OutDatagrams",
                   counter("chaosd_host_udp6_sent_datagrams_total", "", "Datagrams sent (IPv6).")},
    ProtocolColumn{"", "Udp6RcvbufErrors",
                   counter("chaosd_host_udp6_receive_buffer_errors_total", "",
                           "Datagrams dropped because the socket's buffer was full (IPv6).")},
    ProtocolColumn{"", "Ip6InDiscards",
                   counter("chaosd_host_ip6_receive_discards_total", "", "Good packets dropped on arrival (IPv6).")},
    ProtocolColumn{"", "Ip6OutDiscards",
                   counter("chaosd_host_ip6_send_discards_total", "", "Good packets dropped instead of sent (IPv6).")},
};

class ProtocolCollector final : public Collector {
 public:
  explicit ProtocolCollector(const TelemetryRoots& roots)
      : pairs_{SampledFile(roots.proc / "net/snmp"), SampledFile(roots.proc / "net/netstat")},
        snmp6_(roots.proc / "net/snmp6") {}
  [[nodiscard]] string_view name() const override { return "protocol"; }

  Status collect(Registry& registry) override {
    Status status;
    for (SampledFile& file : pairs_) {
      const auto text = file.read(buffer_);
      if (text) take_pairs(*text, registry);
      if (!text && status) status = std::unexpected(text.error());
    }
    if (const auto text = snmp6_.read(buffer_)) take_names(*text, registry);
    return status;
  }

 private:
  static void take_pairs(string_view text, Registry& registry) {
    Words lines(text);
    while (const auto names = lines.line()) {
      const auto values = lines.line();
      if (!values) return;
      Words name(*names);
      Words value(*values);
      const string_view protocol = name.word();
      if (value.word() != protocol) return;
      if (std::ranges::find(kProtocols, protocol, &ProtocolColumn::protocol) == kProtocols.end()) continue;
      for (string_view column = name.word(); !column.empty(); column = name.word()) {
        const auto number = value.number();  // a few columns are -1: none of ours
        for (const ProtocolColumn& what : kProtocols) {
          if (number && what.column == column && what.protocol == protocol) {
            registry.set(what.metric, static_cast<std::int64_t>(*number));
          }
        }
      }
    }
  }

  static void take_names(string_view text, Registry& registry) {
    Words lines(text);
    while (const auto line = lines.line()) {
      Words words(*line);
      const string_view column = words.word();
      const auto row = std::ranges::find(kProtocols6, column, &ProtocolColumn::column);
      if (row == kProtocols6.end()) continue;
      if (const auto number = words.number()) registry.set(row->metric, static_cast<std::int64_t>(*number));
    }
  }

  std::array<SampledFile, 2> pairs_;
  SampledFile snmp6_;
  std::string buffer_;
};

struct SoftnetColumn {
  std::size_t column;
  MetricSpec metric;
};
constexpr std::array kSoftnet{
    SoftnetColumn{0, counter("chaosd_host_softnet_processed_total", "", "Packets that the CPU took in.", {"cpu"})},
    SoftnetColumn{
        1, counter("chaosd_host_softnet_dropped_total", "", "Packets dropped: the CPU's backlog was full.", {"cpu"})},
    SoftnetColumn{2, counter("chaosd_host_softnet_times_squeezed_total", "",
                             "How often the CPU's time for packets was over before the packets were.", {"cpu"})},
};

class SoftnetCollector final : public Collector {
 public:
  explicit SoftnetCollector(const TelemetryRoots& roots) : file_(roots.proc / "net/softnet_stat") {}
  [[nodiscard]] string_view name() const override { return "softnet"; }

  Status collect(Registry& registry) override {
    const auto text = file_.read(buffer_);
    if (!text) return std::unexpected(text.error());
    Words lines(*text);
    for (unsigned row = 0; const auto line = lines.line(); ++row) {
      Words words(*line);
      std::array<std::optional<std::uint32_t>, kColumns> columns{};
      for (auto& column : columns) column = hexadecimal(words.word());
      // The CPU's number is there since 5.10; offline CPUs have no line.
      const std::string cpu = std::to_string(columns[kCpuColumn].value_or(row));
      for (const SoftnetColumn& what : kSoftnet) {
        if (const auto value = columns[what.column]) registry.set(what.metric, {cpu}, *value);
      }
    }
    return {};
  }

 private:
  static constexpr std::size_t kColumns = 13;
  static constexpr std::size_t kCpuColumn = 12;

  static std::optional<std::uint32_t> hexadecimal(string_view text) {
    constexpr int kBase = 16;
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, kBase);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
  }

  SampledFile file_;
  std::string buffer_;
};

constexpr MetricSpec kSockets = gauge(
    "chaosd_host_sockets", "", "Sockets of the protocol: inuse, orphan, tw (TIME-WAIT), alloc.", {"protocol", "state"});
constexpr MetricSpec kSocketPages =
    gauge("chaosd_host_socket_memory_pages", "", "Pages that the protocol's sockets hold.", {"protocol"});

class SocketCollector final : public Collector {
 public:
  explicit SocketCollector(const TelemetryRoots& roots)
      : files_{SampledFile(roots.proc / "net/sockstat"), SampledFile(roots.proc / "net/sockstat6")} {}
  [[nodiscard]] string_view name() const override { return "sockets"; }

  Status collect(Registry& registry) override {
    const auto text = files_[0].read(buffer_);
    if (!text) return std::unexpected(text.error());
    take(*text, registry);
    if (const auto text6 = files_[1].read(buffer_)) take(*text6, registry);
    return {};
  }

 private:
  static void take(string_view text, Registry& registry) {
    Words lines(text);
    while (const auto line = lines.line()) {
      Words words(*line);
      string_view title = words.word();
      if (!title.starts_with("TCP") && !title.starts_with("UDP") && !title.starts_with("RAW")) continue;
      title = title.substr(0, title.find(':'));
      std::string protocol(title);
      std::ranges::transform(protocol, protocol.begin(),
                             [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
      for (string_view state = words.word(); !state.empty(); state = words.word()) {
        const auto count = words.number();
        if (!count) break;
        const auto value = static_cast<std::int64_t>(*count);
        if (state == "mem") {
          registry.set(kSocketPages, {protocol}, value);
        } else {
          registry.set(kSockets, {protocol, state}, value);
        }
      }
    }
  }

  std::array<SampledFile, 2> files_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Collector> make_link_collector() { return std::make_unique<LinkCollector>(); }
std::unique_ptr<Collector> make_protocol_collector(const TelemetryRoots& roots) {
  return std::make_unique<ProtocolCollector>(roots);
}
std::unique_ptr<Collector> make_softnet_collector(const TelemetryRoots& roots) {
  return std::make_unique<SoftnetCollector>(roots);
}
std::unique_ptr<Collector> make_socket_collector(const TelemetryRoots& roots) {
  return std::make_unique<SocketCollector>(roots);
}

}  // namespace chaos
