#include "kernel/classic_tc.h"

#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "kernel/netlink.h"

namespace chaos {
namespace {

TcFilter parse_filter(nlmsghdr* header) {
  TcFilter filter;
  const auto* message = static_cast<const tcmsg*>(nlmsg_data(header));
  filter.parent = message->tcm_parent;
  filter.handle = message->tcm_handle;
  filter.priority = message->tcm_info >> 16;
  std::array<nlattr*, TCA_MAX + 1> attributes{};
  if (nlmsg_parse(header, sizeof(tcmsg), attributes.data(), TCA_MAX, nullptr) < 0) return filter;
  if (attributes[TCA_KIND] == nullptr || std::string_view(nla_get_string(attributes[TCA_KIND])) != "bpf") return filter;
  std::array<nlattr*, TCA_BPF_MAX + 1> options{};
  if (attributes[TCA_OPTIONS] == nullptr ||
      nla_parse_nested(options.data(), TCA_BPF_MAX, attributes[TCA_OPTIONS], nullptr) < 0 ||
      options[TCA_BPF_ID] == nullptr) {
    return filter;
  }
  filter.program = nla_get_u32(options[TCA_BPF_ID]);
  if (options[TCA_BPF_NAME] != nullptr) filter.name = nla_get_string(options[TCA_BPF_NAME]);
  return filter;
}

/// An options struct of libbpf, zero in its padding as well: libbpf takes what is not zero behind the fields that it
/// knows for a field of a later version, and LIBBPF_OPTS leaves the padding to chance in C++.
template <class Options>
struct Zeroed : Options {
  Zeroed() {
    std::memset(static_cast<Options*>(this), 0, sizeof(Options));
    this->sz = sizeof(Options);
  }
};

struct Hook : Zeroed<bpf_tc_hook> {
  Hook(unsigned index, int sides) {
    ifindex = static_cast<int>(index);
    attach_point = static_cast<bpf_tc_attach_point>(sides);
  }
};

struct Place : Zeroed<bpf_tc_opts> {
  Place(std::uint32_t filter_priority, std::uint32_t filter_handle) {
    priority = filter_priority;
    handle = filter_handle;
  }
};

constexpr int kBothSides = BPF_TC_INGRESS | BPF_TC_EGRESS;

bpf_tc_attach_point point(TcSide side) { return side == TcSide::kEgress ? BPF_TC_EGRESS : BPF_TC_INGRESS; }

std::string place(unsigned ifindex, TcSide side) {
  return "ifindex " + std::to_string(ifindex) + (side == TcSide::kEgress ? " egress" : " ingress");
}

std::unexpected<Error> fail_tc(const std::string& what, int err) {
  if (err == ENODEV) return fail(Errc::kNotFound, what + ": the interface is gone", "target.interface");
  if (err == EEXIST) return fail(Errc::kRefused, what + ": the place is taken");
  return fail_errno(what, err);
}

Result<std::vector<TcFilter>> filters_of_side(unsigned ifindex, TcSide side) {
  auto route = Netlink::open();
  if (!route) return std::unexpected(route.error());
  return list_tc_filters(*route, ifindex, tc_parent(side));
}

}  // namespace

std::uint32_t tc_parent(TcSide side) {
  return TC_H_MAKE(TC_H_CLSACT, side == TcSide::kEgress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

Result<std::vector<TcFilter>> list_tc_filters(Netlink& route, unsigned ifindex, std::uint32_t parent) {
  tcmsg request{};
  request.tcm_family = AF_UNSPEC;
  request.tcm_ifindex = static_cast<int>(ifindex);
  request.tcm_parent = parent;
  return Netlink::repeat_dump<std::vector<TcFilter>>([&](std::vector<TcFilter>& list) {
    return route.dump(RTM_GETTFILTER, request, [&list](nlmsghdr* header) {
      TcFilter filter = parse_filter(header);
      // The kernel also lists each priority itself, with handle 0.
      if (filter.handle != 0) list.push_back(std::move(filter));
    });
  });
}

Result<bool> has_clsact(unsigned ifindex) {
  auto route = Netlink::open();
  if (!route) return std::unexpected(route.error());
  return Netlink::repeat_dump<bool>([&](bool& found) {
    tcmsg request{};
    request.tcm_family = AF_UNSPEC;
    request.tcm_ifindex = static_cast<int>(ifindex);
    return route->dump(RTM_GETQDISC, request, [&](nlmsghdr* header) {
      const auto* qdisc = static_cast<const tcmsg*>(nlmsg_data(header));
      if (qdisc->tcm_ifindex != static_cast<int>(ifindex) || qdisc->tcm_parent != TC_H_CLSACT) return;
      std::array<nlattr*, TCA_MAX + 1> attributes{};
      if (nlmsg_parse(header, sizeof(tcmsg), attributes.data(), TCA_MAX, nullptr) < 0) return;
      // An ingress qdisc has the same parent.
      if (attributes[TCA_KIND] != nullptr && std::string_view(nla_get_string(attributes[TCA_KIND])) == "clsact") {
        found = true;
      }
    });
  });
}

Status add_clsact(unsigned ifindex) {
  Hook hook(ifindex, kBothSides);
  if (const int err = bpf_tc_hook_create(&hook); err != 0) {
    return fail_tc("add a clsact qdisc to ifindex " + std::to_string(ifindex), -err);
  }
  return {};
}

Result<bool> remove_clsact_if_empty(unsigned ifindex) {
  const auto there = has_clsact(ifindex);
  if (!there || !*there) return there ? Result<bool>(true) : there;
  for (const TcSide side : {TcSide::kIngress, TcSide::kEgress}) {
    const auto filters = filters_of_side(ifindex, side);
    if (!filters) return std::unexpected(filters.error());
    if (!filters->empty()) return false;
  }
  Hook hook(ifindex, kBothSides);
  const int err = bpf_tc_hook_destroy(&hook);
  if (err != 0 && err != -ENODEV && err != -ENOENT && err != -EINVAL) {
    return fail_errno("remove the clsact qdisc of ifindex " + std::to_string(ifindex), -err);
  }
  return true;
}

Result<std::uint32_t> free_tc_priority(unsigned ifindex, TcSide side) {
  const auto filters = filters_of_side(ifindex, side);
  if (!filters) return std::unexpected(filters.error());
  std::uint32_t priority = 1;
  while (std::ranges::find(*filters, priority, &TcFilter::priority) != filters->end()) ++priority;
  return priority;
}

Status add_tc_filter(unsigned ifindex, TcSide side, std::uint32_t priority, std::uint32_t handle, int program_fd) {
  const Hook hook(ifindex, point(side));
  Place opts(priority, handle);
  opts.prog_fd = program_fd;
  if (const int err = bpf_tc_attach(&hook, &opts); err != 0) return fail_tc("attach to " + place(ifindex, side), -err);
  return {};
}

Result<std::optional<TcFilter>> find_tc_filter(unsigned ifindex, TcSide side, std::uint32_t priority,
                                               std::uint32_t handle) {
  const auto there = has_clsact(ifindex);
  if (!there) return std::unexpected(there.error());
  if (!*there) return std::optional<TcFilter>();
  const auto filters = filters_of_side(ifindex, side);
  if (!filters) return std::unexpected(filters.error());
  const auto found = std::ranges::find_if(
      *filters, [&](const TcFilter& filter) { return filter.priority == priority && filter.handle == handle; });
  return found == filters->end() ? std::optional<TcFilter>() : std::optional(*found);
}

Status remove_tc_filter(unsigned ifindex, TcSide side, std::uint32_t priority, std::uint32_t handle) {
  const Hook hook(ifindex, point(side));
  const Place opts(priority, handle);
  const int err = bpf_tc_detach(&hook, &opts);
  if (err != 0 && err != -ENOENT && err != -ENODEV && err != -EINVAL) {
    return fail_errno("detach from " + place(ifindex, side), -err);
  }
  return {};
}

}  // namespace chaos
