// POST /api/chaos/scenarios: what is accepted means the same after it was written and read again, and its parameters
// and filters are refused or come out canonical.
#include <cstdint>
#include <string_view>

#include "api/schema.h"
#include "check.h"
#include "fault/registry.h"
#include "plan/parameters.h"
#include "plan/target.h"

namespace {

void check_parameters(const chaos::ScenarioRequest& request) {
  const auto kind = chaos::find_kind(request.kind);
  if (!kind) return;
  const chaos::KindSpec& spec = (*kind)->spec;
  const auto resolved = chaos::resolve_parameters(spec, request.parameters, request.severity);
  if (!resolved) {
    FUZZ_CHECK(!resolved.error().message.empty());
    return;
  }
  const auto again = chaos::resolve_parameters(spec, *resolved, request.severity);
  FUZZ_CHECK(again && *again == *resolved);
}

void check_filter(chaos::TargetKeys target) {
  // A name would be looked up in the network's name service.
  if (const auto peers = target.find("peer"); peers != target.end()) {
    std::erase_if(peers->second, [](const std::string& peer) { return !chaos::Prefix::parse(peer); });
  }
  const auto filter = chaos::parse_net_filter(target);
  if (!filter) {
    FUZZ_CHECK(filter.error().field.starts_with("target."));
    return;
  }
  for (const chaos::Prefix& peer : filter->peers) FUZZ_CHECK(chaos::Prefix::parse(peer.str()) == peer);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto json = chaos::parse_json({reinterpret_cast<const char*>(data), size});
  if (!json) return 0;
  const auto request = chaos::scenario_request_from_json(*json);
  if (!request) {
    FUZZ_CHECK(!request.error().message.empty());
    return 0;
  }
  const nlohmann::json written = chaos::to_json(*request);
  const auto again = chaos::scenario_request_from_json(written);
  FUZZ_CHECK(again && chaos::to_json(*again) == written);
  check_parameters(*request);
  check_filter(request->target);
  return 0;
}
