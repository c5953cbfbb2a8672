#include "kernel/tracepoints.h"

#include <bpf/btf.h>

#include <memory>
#include <string_view>

#include "bpf/telemetry_abi.h"

namespace chaos {
namespace {

constexpr unsigned kSubsystemShift = 16;  // SKB_DROP_REASON_SUBSYS_SHIFT of include/net/dropreason-core.h

struct BtfDeleter {
  void operator()(btf* types) const { btf__free(types); }
};

/// What the kernel calls the programs of a tracepoint with; null if there is none of that name.
const btf_type* prototype_of(const btf& types, const std::string& tracepoint) {
  const std::string name = "btf_trace_" + tracepoint;
  const int id = btf__find_by_name_kind(&types, name.c_str(), BTF_KIND_TYPEDEF);
  const btf_type* type = id > 0 ? btf__type_by_id(&types, static_cast<__u32>(id)) : nullptr;
  if (type != nullptr) type = btf__type_by_id(&types, type->type);  // a pointer
  if (type != nullptr) type = btf__type_by_id(&types, type->type);  // to a function
  return type != nullptr && btf_is_func_proto(type) ? type : nullptr;
}

/// How many values a tracepoint has; 0 also if there is none of that name.
unsigned values_of(const btf& types, const std::string& tracepoint) {
  const btf_type* type = prototype_of(types, tracepoint);
  return type == nullptr || btf_vlen(type) == 0 ? 0 : btf_vlen(type) - 1U;  // the first one is the kernel's own
}

bool begins_with_pointer(const btf& types, const std::string& tracepoint) {
  const btf_type* type = prototype_of(types, tracepoint);
  if (type == nullptr || btf_vlen(type) < 2) return false;
  const btf_type* value = btf__type_by_id(&types, btf_params(type)[1].type);
  return value != nullptr && btf_is_ptr(value);
}

std::map<std::uint32_t, std::string> names_of(const btf& types, const char* enumeration, std::string_view prefix) {
  std::map<std::uint32_t, std::string> names;
  const int id = btf__find_by_name_kind(&types, enumeration, BTF_KIND_ENUM);
  if (id <= 0) return names;
  const btf_type* type = btf__type_by_id(&types, static_cast<__u32>(id));
  const struct btf_enum* values = ::btf_enum(type);
  for (unsigned i = 0; i < btf_vlen(type); ++i) {
    std::string_view name = btf__name_by_offset(&types, values[i].name_off);
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    // The end of the list is no reason.
    if (name == "MAX" || name == "SUBSYS_MASK" || name == "NUM") continue;
    names.emplace(static_cast<std::uint32_t>(values[i].val), name);
  }
  return names;
}

Result<Tracepoints> look() {
  const std::unique_ptr<btf, BtfDeleter> types(btf__load_vmlinux_btf());
  if (!types)
    return fail(Errc::kUnsupported, "this kernel has no BTF: " + errno_name(errno), {}, "CONFIG_DEBUG_INFO_BTF");
  constexpr unsigned kDropReason = 3;
  constexpr unsigned kDropReceiver = 4;
  constexpr unsigned kResult = 3;
  constexpr unsigned kResetReason = 3;
  Tracepoints found;
  found.drop_reasons = values_of(*types, "kfree_skb") >= kDropReason;
  found.drop_receivers = values_of(*types, "kfree_skb") >= kDropReceiver;
  found.retransmit_results = values_of(*types, "tcp_retransmit_skb") >= kResult;
  found.resets_without_socket = values_of(*types, "tcp_send_reset") >= kResetReason;
  found.victim_is_task = begins_with_pointer(*types, "mark_victim");
  found.reasons = names_of(*types, "skb_drop_reason", "SKB_DROP_REASON_");
  found.reason_subsystems = names_of(*types, "skb_drop_reason_subsys", "SKB_DROP_REASON_SUBSYS_");
  return found;
}

}  // namespace

std::string Tracepoints::drop_reason(std::uint32_t place) const {
  if (place >= CHAOS_DROP_SUBSYSTEMS) {
    const std::uint32_t number = place - CHAOS_DROP_SUBSYSTEMS;
    const auto subsystem = reason_subsystems.find(number);
    return "SUBSYS_" + (subsystem != reason_subsystems.end() ? subsystem->second : std::to_string(number));
  }
  const auto reason = reasons.find(place);
  return reason != reasons.end() ? reason->second : "REASON_" + std::to_string(place);
}

const Result<Tracepoints>& tracepoints() {
  static const Result<Tracepoints> kFound = look();
  return kFound;
}

}  // namespace chaos
