// Loss models: the parameters of packet_loss that say which packets are lost, and what the kernel is told of them.
// Pure; any thread.
#pragma once

#include <array>

#include "base/result.h"
#include "bpf/chaos_abi.h"
#include "plan/kind_spec.h"
#include "plan/parameters.h"

namespace chaos {

extern const std::array<ParamSpec, 8> kLossParameters;

/// Model, threshold and the model's own figures of a fault. `parameters`: resolved. Error: kInvalid.
[[nodiscard]] Result<chaos_fault> loss_fault(const Parameters& parameters);

}  // namespace chaos
