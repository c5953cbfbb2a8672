// Forms of text that configuration values take beyond numbers with units. Each function answers whether `text` has the
// form. Pure, but for is_time_zone (reads /usr/share/zoneinfo); any thread.
#pragma once

#include <optional>
#include <string_view>

#include "config/config.h"

namespace chaos {

/// "/a/b": absolute, without "..", control characters or a trailing slash (but for "/").
[[nodiscard]] bool is_absolute_path(std::string_view text);
/// "nginx.service", "user@1000.service", with a suffix that systemd knows.
[[nodiscard]] bool is_unit_name(std::string_view text);
/// "10.0.0.0/8", "fd00::/8", "192.0.2.1"; host bits must be zero, as Prefix::parse wants them.
[[nodiscard]] bool is_cidr(std::string_view text);
[[nodiscard]] std::optional<PortRange> parse_port_range(std::string_view text);
/// "redis:6379", "127.0.0.1:80", "[::1]:80".
[[nodiscard]] bool is_host_port(std::string_view text);
/// "127.0.0.1:80", "[::1]:80", "localhost:80": no name that would have to be looked up.
[[nodiscard]] bool is_listen_address(std::string_view text);
[[nodiscard]] bool is_http_url(std::string_view text);
/// As groupadd(8) accepts names.
[[nodiscard]] bool is_group_name(std::string_view text);
/// "UTC", "local" or a file below /usr/share/zoneinfo.
[[nodiscard]] bool is_time_zone(std::string_view text);
/// "mon-fri 09:00-17:00", "sat,sun 00:00-24:00", "22:00-06:00" (every day).
[[nodiscard]] std::optional<TimeWindow> parse_time_window(std::string_view text);
/// Prometheus' form of names.
[[nodiscard]] bool is_metric_name(std::string_view text);
[[nodiscard]] bool is_json_pointer(std::string_view text);

}  // namespace chaos
