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

std::optional<std::string> ask(sd_bus* bus, const std::string& name) {
  sd_bus_set_method_call_timeout(bus, kPatienceUs);
  sd_bus_message* raw = nullptr;
  if (sd_bus_call_method(bus, kManager, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "LoadUnit",
                         nullptr, &raw, "s", name.c_str()) < 0) {
    return std::nullopt;
  }
  const Message reply(raw, sd_bus_message_unref);
  const char* unit = nullptr;
  if (sd_bus_message_read(reply.get(), "o", &unit) < 0) return std::nullopt;
  char* id = nullptr;
  if (sd_bus_get_property_string(bus, kManager, unit, "org.freedesktop.systemd1.Unit", "Id", nullptr, &id) < 0) {
    return std::nullopt;
  }
  const std::unique_ptr<char, decltype(&std::free)> owned(id, std::free);
  return std::string(id);
}

}  // namespace

std::optional<std::string> systemd_unit_id(const std::string& name) {
  if (sd_booted() <= 0) return std::nullopt;
  if (const Bus direct = connect_directly()) return ask(direct.get(), name);
  const Bus system = connect_by_system_bus();
  return system ? ask(system.get(), name) : std::nullopt;
}

}  // namespace chaos
