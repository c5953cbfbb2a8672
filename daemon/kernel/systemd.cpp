#include "kernel/systemd.h"

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace chaos {
namespace {

constexpr std::uint64_t kPatienceUs = 1'000'000;
constexpr const char* kManager = "org.freedesktop.systemd1";

using Bus = std::unique_ptr<sd_bus, decltype(&sd_bus_flush_close_unref)>;
using Message = std::unique_ptr<sd_bus_message, decltype(&sd_bus_message_unref)>;

/// PID 1's own socket, which it opens to root alone.
Bus connect_directly() {
  sd_bus* raw = nullptr;
  if (sd_bus_new(&raw) < 0) return {nullptr, sd_bus_flush_close_unref};
  Bus bus(raw, sd_bus_flush_close_unref);
  if (sd_bus_set_address(raw, "unix:path=/run/systemd/private") < 0 || sd_bus_start(raw) < 0) bus.reset();
  return bus;
}

Bus connect_by_system_bus() {
  sd_bus* raw = nullptr;
  if (sd_bus_open_system(&raw) < 0) raw = nullptr;
  return {raw, sd_bus_flush_close_unref};
}

/// PID 1's own socket, else the bus of all. Empty if systemd is not PID 1.
Bus connect() {
  if (sd_booted() <= 0) return {nullptr, sd_bus_flush_close_unref};
  Bus bus = connect_directly();
  if (!bus) bus = connect_by_system_bus();
  if (bus) sd_bus_set_method_call_timeout(bus.get(), kPatienceUs);
  return bus;
}

/// The object of a unit; empty if systemd does not answer.
std::string load_unit(sd_bus* bus, const std::string& name) {
  sd_bus_message* raw = nullptr;
  if (sd_bus_call_method(bus, kManager, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "LoadUnit",
                         nullptr, &raw, "s", name.c_str()) < 0) {
    return {};
  }
  const Message reply(raw, sd_bus_message_unref);
  const char* unit = nullptr;
  return sd_bus_message_read(reply.get(), "o", &unit) < 0 ? std::string() : std::string(unit);
}

std::optional<std::string> text_property(sd_bus* bus, const std::string& unit, const char* name) {
  char* value = nullptr;
  if (sd_bus_get_property_string(bus, kManager, unit.c_str(), "org.freedesktop.systemd1.Unit", name, nullptr, &value) <
      0) {
    return std::nullopt;
  }
  const std::unique_ptr<char, decltype(&std::free)> owned(value, std::free);
  return std::string(value);
}

}  // namespace

std::optional<std::string> systemd_unit_id(const std::string& name) {
  const Bus bus = connect();
  const std::string unit = bus ? load_unit(bus.get(), name) : std::string();
  return unit.empty() ? std::nullopt : text_property(bus.get(), unit, "Id");
}

std::optional<std::string> systemd_active_state(const std::string& name) {
  const Bus bus = connect();
  const std::string unit = bus ? load_unit(bus.get(), name) : std::string();
  return unit.empty() ? std::nullopt : text_property(bus.get(), unit, "ActiveState");
}

std::optional<pid_t> systemd_main_pid(const std::string& name) {
  const Bus bus = connect();
  const std::string unit = bus ? load_unit(bus.get(), name) : std::string();
  std::uint32_t pid = 0;
  if (unit.empty() || sd_bus_get_property_trivial(bus.get(), kManager, unit.c_str(), "org.freedesktop.systemd1.Service",
                                                  "MainPID", nullptr, 'u', &pid) < 0) {
    return std::nullopt;
  }
  if (pid > 0) return static_cast<pid_t>(pid);
  const auto state = text_property(bus.get(), unit, "ActiveState");
  return !state || *state == "active" || *state == "reloading" ? std::nullopt : std::optional<pid_t>(0);
}

}  // namespace chaos
