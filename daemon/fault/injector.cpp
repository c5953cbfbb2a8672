#include "fault/injector.h"

#include "fault/registry.h"

namespace chaos {
namespace {

// A start within this time after the last look does not look for sshd again; see also Scenarios' periodic look.
constexpr std::chrono::seconds kProtectionAge{5};

}  // namespace

Injector::Injector(std::unique_ptr<PacketEngine> packets, UndoJournal& journal, LoadGround loads,
                   std::string_view instance)
    : packets_(std::move(packets)),
      syscalls_(packets_->maps(), instance),
      journal_(journal),
      loads_(std::move(loads)),
      protection_(packets_->maps()) {}

Result<std::unique_ptr<Injector>> Injector::create(std::string_view instance, UndoJournal& journal,
                                                   PacketHookChoice packet_hook, const Heartbeat& heartbeat) {
  auto packets = PacketEngine::create(instance, &journal, packet_hook);
  if (!packets) return std::unexpected(packets.error());
  auto loads = LoadGround::create(heartbeat, instance);
  if (!loads) return std::unexpected(loads.error());
  return std::unique_ptr<Injector>(new Injector(std::move(*packets), journal, std::move(*loads), instance));
}

Result<std::unique_ptr<Fault>> Injector::prepare(const AdmittedPlan& plan, const Caller& caller) {
  // No fault without a true protected list: better refused than a host that nobody can reach.
  Status status = protection_.refresh(kProtectionAge);
  if (status && caller.pid > 0) status = protection_.protect_caller(caller.pid);
  if (!status) return with_context("find traffic to protect", status.error());
  auto kind = find_kind(plan.plan().kind->name);
  if (!kind) return std::unexpected(kind.error());
  return (*kind)->prepare(plan, Mechanisms{*packets_, syscalls_, journal_, loads_});
}

PacketEngine::Objects Injector::objects() const {
  PacketEngine::Objects all = packets_->objects();
  const PacketEngine::Objects more = syscalls_.objects();
  all.links.insert(more.links.begin(), more.links.end());
  all.programs.insert(more.programs.begin(), more.programs.end());
  all.maps.insert(more.maps.begin(), more.maps.end());
  return all;
}

}  // namespace chaos
