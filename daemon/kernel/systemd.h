// What systemd knows about its units, asked over its bus. Blocks while systemd does not answer: a second for each of
// two calls, and sd-bus's own limit while it connects. Worker thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace chaos {

/// The name that the unit's cgroup carries: `name` itself, or what it is an alias of (sshd.service is ssh.service on
/// Debian). Empty if systemd is not PID 1 here, does not know the name or does not answer. Root asks PID 1 directly,
/// so that no D-Bus daemon is needed; everybody else through the system bus.
/// Source: org.freedesktop.systemd1(5), LoadUnit and the property Id.
[[nodiscard]] std::optional<std::string> systemd_unit_id(const std::string& name);

/// The main process of the service unit, as systemd knows it now; 0 while it is down or on its way up or down. Empty if
/// systemd does not say: it is no service, none is known of one that runs, or systemd is not PID 1 here. `unit` as
/// above. Source: org.freedesktop.systemd1(5), MainPID and ActiveState.
[[nodiscard]] std::optional<pid_t> systemd_main_pid(const std::string& unit);

/// "active", "failed", "activating" and so on; a unit that is not loaded is "inactive". Empty as systemd_unit_id.
/// Source: property ActiveState of org.freedesktop.systemd1.Unit.
[[nodiscard]] std::optional<std::string> systemd_active_state(const std::string& name);

}  // namespace chaos
