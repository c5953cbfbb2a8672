#include "config/config.h"

#include "config/kinds.h"

namespace chaos {

KindPolicies default_kind_policies() {
  KindPolicies policies;
  for (const KindEntry& kind : config_kinds()) policies.emplace(kind.name, KindPolicy{});
  return policies;
}

}  // namespace chaos
