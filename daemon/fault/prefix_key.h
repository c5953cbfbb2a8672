// A prefix as plan/ holds it → the key that the kernel's prefix tries take. Pure; any thread.
#pragma once

#include <cstring>

#include "bpf/chaos_abi.h"
#include "plan/target.h"

namespace chaos {

[[nodiscard]] inline chaos_prefix_key prefix_key(const Prefix& prefix) {
  chaos_prefix_key key{};
  key.prefix_bits = 8 + prefix.bits;
  key.family = prefix.is_v4() ? 4 : 6;
  std::memcpy(key.address, prefix.address, sizeof(key.address));
  return key;
}

}  // namespace chaos
