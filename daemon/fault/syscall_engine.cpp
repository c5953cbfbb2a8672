#include "fault/syscall_engine.h"

#include "base/instance.h"
#include "fault/syscall_fault.h"

namespace chaos {

SyscallEngine::SyscallEngine(const SharedMaps& shared, std::string_view instance)
    : shared_(shared), tag_(instance_tag(instance)) {}

Result<std::unique_ptr<Fault>> SyscallEngine::prepare(const Plan& plan, const SyscallRequest& request,
                                                      const LoadGround& ground) {
  return SyscallFault::prepare(*this, plan, request, ground);
}

PacketEngine::Objects SyscallEngine::objects() const {
  PacketEngine::Objects objects;
  const std::scoped_lock lock(mutex_);
  for (const SyscallFault* fault : faults_) fault->add_objects(objects);
  return objects;
}

}  // namespace chaos
