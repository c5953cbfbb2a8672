#include "config/value.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include <fmt/format.h>

#include "config/value_forms.h"

namespace chaos {
namespace {

struct TypeText {
  std::string_view name;
  std::string_view description;
};

TypeText text_of(ValueType type) {
  using enum ValueType;
  switch (type) {
    case kSection:
      return {"section", "a mapping (KEY: VALUE, indented, one a line)"};
    case kBoolean:
      return {"boolean", "true or false"};
    case kInteger:
      return {"integer", "an integer"};
    case kNumber:
      return {"number", "a number"};
    case kDuration:
      return {"duration", "a duration (300, 30s, 5m)"};
    case kFraction:
      return {"fraction", "a fraction of 1 (0.3 or 30%)"};
    case kBytes:
      return {"size", "a size (512, 64KiB, 10MB)"};
    case kText:
      return {"string", "a string"};
    case kChoice:
      return {"choice", "one of a list"};
    case kPath:
      return {"path", "an absolute path (/var/lib/x)"};
    case kCgroup:
      return {"cgroup", "a path in the cgroup v2 tree, from its root (/system.slice/x.service)"};
    case kUnit:
      return {"unit", "a systemd unit with its suffix (nginx.service)"};
    case kCidr:
      return {"address range", "an address or prefix with zero host bits (10.0.0.0/8, fd00::/8, 192.0.2.1)"};
    case kPort:
      return {"port", "a port (1 to 65535)"};
    case kPortRange:
      return {"port or range", "a port or a range of ports (443, 6000-6010)"};
    case kAddress:
      return {"host and port", "HOST:PORT (127.0.0.1:6379, [::1]:6379)"};
    case kListen:
      return {"address or off", "IP-ADDRESS:PORT (127.0.0.1:9750, [::1]:9750), localhost:PORT or off"};
    case kUrl:
      return {"URL", "a URL that starts with http:// or https://"};
    case kGroup:
      return {"group", "the name of a group of users"};
    case kTimeZone:
      return {"time zone", "UTC, local or a time zone of /usr/share/zoneinfo (Europe/Berlin)"};
    case kTimeWindow:
      return {"time window", "a time window (mon-fri 09:00-17:00, 22:00-06:00)"};
    case kMetric:
      return {"metric name", "a metric name (letters, digits, _ and :)"};
    case kPointer:
      return {"JSON pointer", "a JSON pointer (/queue/depth)"};
    case kBound:
    case kStep:
      return {"parameter value", "a value of the parameter"};
  }
  return {"value", "a value"};
}

std::unexpected<Error> unexpected(ValueType type, const Scalar& scalar, std::string_view hint = {}) {
  return expected_value(describe(type), scalar.text, hint);
}

Result<Value> parse_boolean(const Scalar& scalar, Value value) {
  std::string lower(scalar.text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower != "true" && lower != "false") return unexpected(ValueType::kBoolean, scalar);
  if (scalar.quoted) return unexpected(ValueType::kBoolean, scalar, "remove the quotes");
  value.boolean = lower == "true";
  return value;
}

Result<Value> parse_integer(const Scalar& scalar, Value value) {
  const char* end = scalar.text.data() + scalar.text.size();
  const auto [stop, error] = std::from_chars(scalar.text.data(), end, value.integer);
  if (error != std::errc{} || stop != end) return unexpected(ValueType::kInteger, scalar);
  if (scalar.quoted) return unexpected(ValueType::kInteger, scalar, "remove the quotes");
  value.magnitude = static_cast<long double>(value.integer);
  return value;
}

Result<Value> parse_number(const Scalar& scalar, Value value) {
  const char* end = scalar.text.data() + scalar.text.size();
  const auto [stop, error] = std::from_chars(scalar.text.data(), end, value.number);
  if (error != std::errc{} || stop != end || !std::isfinite(value.number)) {
    return unexpected(ValueType::kNumber, scalar);
  }
  if (scalar.quoted) return unexpected(ValueType::kNumber, scalar, "remove the quotes");
  value.magnitude = value.number;
  return value;
}

Result<Value> parse_percent(const Scalar& scalar, Value value) {
  std::string_view text = scalar.text;
  if (text.ends_with('%')) text.remove_suffix(1);
  const auto parsed = parse_number({std::string(text), false}, value);
  if (!parsed || parsed->number < 0 || parsed->number > 100) {
    return expected_value("a percentage (0 to 100, with or without %)", scalar.text);
  }
  value.number = parsed->number;
  value.magnitude = parsed->magnitude;
  return value;
}

Result<Value> parse_quantity(ValueType type, const Scalar& scalar, Value value) {
  if (type == ValueType::kDuration) {
    const auto duration = parse_duration(scalar.text);
    if (!duration) return unexpected(type, scalar, duration.error().hint);
    value.duration = *duration;
    value.magnitude = static_cast<long double>(duration->count());
  } else if (type == ValueType::kFraction) {
    const auto fraction = Probability::parse(scalar.text);
    if (!fraction) return unexpected(type, scalar);
    value.fraction = *fraction;
    value.magnitude = static_cast<long double>(fraction->ppb());
  } else {
    const auto bytes = parse_bytes(scalar.text);
    if (!bytes || *bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return unexpected(type, scalar);
    }
    value.integer = static_cast<std::int64_t>(*bytes);
    value.magnitude = static_cast<long double>(*bytes);
  }
  return value;
}

Result<Value> parse_choice(std::span<const std::string_view> choices, const Scalar& scalar, Value value) {
  const auto found = std::ranges::find(choices, scalar.text);
  if (found == choices.end()) return expected_value(fmt::format("one of {}", fmt::join(choices, ", ")), scalar.text);
  value.choice = static_cast<std::size_t>(found - choices.begin());
  return value;
}

Result<Value> parse_ports(ValueType type, const Scalar& scalar, Value value) {
  const auto range = parse_port_range(scalar.text);
  if (!range || (type == ValueType::kPort && scalar.text.contains('-'))) return unexpected(type, scalar);
  value.ports = *range;
  value.integer = range->first;
  return value;
}

/// Types that only have a form.
bool has_form(ValueType type, std::string_view text) {
  using enum ValueType;
  switch (type) {
    case kText:
      return !text.empty() && !text.contains('\0');
    case kPath:
    case kCgroup:
      return is_absolute_path(text);
    case kUnit:
      return is_unit_name(text);
    case kCidr:
      return is_cidr(text);
    case kAddress:
      return is_host_port(text);
    case kListen:
      return text == "off" || is_listen_address(text);
    case kUrl:
      return is_http_url(text);
    case kGroup:
      return is_group_name(text);
    case kTimeZone:
      return is_time_zone(text);
    case kMetric:
      return is_metric_name(text);
    case kPointer:
      return is_json_pointer(text);
    default:
      return false;
  }
}

}  // namespace

std::string_view describe(ValueType type) { return text_of(type).description; }
std::string_view to_string(ValueType type) { return text_of(type).name; }

std::string on_one_line(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  return text;
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  return fmt::format("\"{}{}\"", on_one_line(std::string(text.substr(0, kLongest))),
                     text.size() > kLongest ? "..." : "");
}

std::unexpected<Error> expected_value(std::string_view what, std::string_view got, std::string_view hint) {
  return fail(Errc::kInvalid, fmt::format("expected {}, got {}", what, excerpt(got)), {}, std::string(what),
              std::string(hint));
}

bool is_config_name(std::string_view text) {
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  };
  return !text.empty() && text.size() <= 64 && text[0] != '-' && text[0] != '.' && std::ranges::all_of(text, allowed);
}

Result<Value> parse_value(ValueType type, std::span<const std::string_view> choices, const Scalar& scalar) {
  using enum ValueType;
  Value value;
  value.text = scalar.text;
  switch (type) {
    case kBoolean:
      return parse_boolean(scalar, std::move(value));
    case kInteger:
      return parse_integer(scalar, std::move(value));
    case kNumber:
      return parse_number(scalar, std::move(value));
    case kDuration:
    case kFraction:
    case kBytes:
      return parse_quantity(type, scalar, std::move(value));
    case kChoice:
      return parse_choice(choices, scalar, std::move(value));
    case kPort:
    case kPortRange:
      return parse_ports(type, scalar, std::move(value));
    case kTimeWindow: {
      const auto window = parse_time_window(scalar.text);
      if (!window) return unexpected(type, scalar);
      value.window = *window;
      return value;
    }
    default:
      break;
  }
  if (!has_form(type, scalar.text)) return unexpected(type, scalar);
  if (type == kListen && scalar.text == "off") value.text.clear();
  return value;
}

Result<Value> parse_parameter_value(const KindParameter& parameter, const Scalar& scalar) {
  Value value;
  value.text = scalar.text;
  switch (parameter.form) {
    case ParameterForm::kProbability:
      return parse_value(ValueType::kFraction, {}, scalar);
    case ParameterForm::kDuration:
      return parse_value(ValueType::kDuration, {}, scalar);
    case ParameterForm::kBytes:
      return parse_value(ValueType::kBytes, {}, scalar);
    case ParameterForm::kChoice:
      return parse_value(ValueType::kChoice, parameter.choices, scalar);
    case ParameterForm::kText:
      return parse_value(ValueType::kText, {}, scalar);
    case ParameterForm::kPercent:
      return parse_percent(scalar, std::move(value));
    case ParameterForm::kInteger: {
      const auto number = parse_unsigned(scalar.text);
      if (!number) return expected_value("an integer, 0 or more", scalar.text);
      value.magnitude = static_cast<long double>(*number);
      return value;
    }
    case ParameterForm::kBitRate: {
      const auto rate = parse_bit_rate(scalar.text);
      if (!rate) return expected_value("a rate (100mbit, 10kbit, 10MBps)", scalar.text);
      value.magnitude = static_cast<long double>(*rate);
      return value;
    }
  }
  return value;
}

}  // namespace chaos
