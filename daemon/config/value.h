// Values of chaosd.yaml: one scalar as written → a checked value of the type that its key asks for. Pure functions,
// but for the look-up of time zones; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "config/config.h"
#include "config/kinds.h"

namespace chaos {

enum class ValueType {
  kSection,  ///< no value: a mapping with keys of its own, one per name or list element
  kBoolean,
  kInteger,
  kNumber,  ///< may have decimals
  kDuration,
  kFraction,  ///< 0.3 or 30%
  kBytes,
  kText,
  kChoice,  ///< one of KeySpec::choices
  kPath,    ///< absolute path in the file system
  kCgroup,  ///< absolute path in the cgroup v2 tree
  kUnit,    ///< systemd unit name with its suffix
  kCidr,    ///< address or prefix, IPv4 or IPv6
  kPort,
  kPortRange,  ///< 8080 or 6000-6010
  kAddress,    ///< HOST:PORT
  kListen,     ///< ADDRESS:PORT or off
  kUrl,        ///< http:// or https://
  kGroup,      ///< name of a group of users
  kTimeZone,
  kTimeWindow,  ///< mon-fri 09:00-17:00
  kMetric,      ///< metric name
  kPointer,     ///< JSON pointer (RFC 6901)
  kBound,       ///< value of the parameter that the path names; it must have an order
  kStep,        ///< value of the parameter that the path names
};

/// A scalar as the file has it.
struct Scalar {
  std::string text;
  bool quoted = false;  ///< then it is a string, whatever it looks like
};

/// A checked scalar. `text` is always set, the others as the type asks.
struct Value {
  std::string text;
  long double magnitude = 0;  ///< what ranges compare: ns, bytes, a number, parts per billion of a fraction
  bool boolean = false;
  std::int64_t integer = 0;  ///< integers, bytes, ports
  double number = 0;
  std::size_t choice = 0;  ///< index into the choices
  std::chrono::nanoseconds duration{0};
  Probability fraction;
  PortRange ports;
  TimeWindow window;
};

/// Errors (kInvalid) say what was expected and what was found: `expected a duration (300, 30s, 5m), got "soon"`.
/// Ranges are not looked at. `choices`: for kChoice only. Not for kSection, kBound, kStep.
[[nodiscard]] Result<Value> parse_value(ValueType type, std::span<const std::string_view> choices,
                                        const Scalar& scalar);
/// The same for the value of a fault parameter.
[[nodiscard]] Result<Value> parse_parameter_value(const KindParameter& parameter, const Scalar& scalar);

/// For messages and the manual: "a duration (300, 30s, 5m)".
[[nodiscard]] std::string_view describe(ValueType type);
/// For tables: "duration".
[[nodiscard]] std::string_view to_string(ValueType type);

/// Names of services, parameters, metrics sources: letters, digits, `_`, `-`, `.`; not first `-` or `.`; at most 64.
[[nodiscard]] bool is_config_name(std::string_view text);

/// Control characters as blanks: what people read is one line.
[[nodiscard]] std::string on_one_line(std::string text);
/// Text of the file for a message: in quotes, on one line, and cut where it is long.
[[nodiscard]] std::string excerpt(std::string_view text);

/// expected WHAT, got "TEXT"
[[nodiscard]] std::unexpected<Error> expected_value(std::string_view what, std::string_view got,
                                                    std::string_view hint = {});

}  // namespace chaos
