#include "plan/kind_spec.h"

namespace chaos {

const KindSpec& aimed_as(const KindSpec& kind, const std::map<std::string, std::string>& parameters) {
  const KindSpec* other = kind.aimed_as != nullptr ? kind.aimed_as(parameters) : nullptr;
  return other != nullptr ? *other : kind;
}

std::string_view to_string(ParamType type) {
  switch (type) {
    case ParamType::kProbability:
      return "probability";
    case ParamType::kDuration:
      return "duration";
    case ParamType::kInteger:
      return "integer";
    case ParamType::kBytes:
      return "bytes";
    case ParamType::kBitRate:
      return "bit_rate";
    case ParamType::kChoice:
      return "choice";
    case ParamType::kString:
      return "string";
  }
  return "unknown";
}

std::string_view to_string(Ownership ownership) {
  switch (ownership) {
    case Ownership::kFileDescriptor:
      return "file_descriptor";
    case Ownership::kProcess:
      return "process";
    case Ownership::kJournaled:
      return "journaled";
  }
  return "unknown";
}

std::size_t severity_step(std::size_t steps, int severity) {
  if (steps < 2) return 0;
  const int clamped = severity < 1 ? 1 : severity > 5 ? 5 : severity;
  // Quarters of a step. CONTRACT's numbers ([50, 70, 90] gives 50, 50, 70, 90, 90) need ties to go to the even index.
  const std::size_t quarters = static_cast<std::size_t>(clamped - 1) * (steps - 1);
  const std::size_t whole = quarters / 4;
  const std::size_t rest = quarters % 4;
  const bool up = rest > 2 || (rest == 2 && whole % 2 == 1);
  return whole + (up ? 1 : 0);
}

std::string_view severity_preset(const ParamSpec& spec, int severity) {
  if (spec.severity_steps.empty()) return {};
  return spec.severity_steps[severity_step(spec.severity_steps.size(), severity)];
}

}  // namespace chaos
