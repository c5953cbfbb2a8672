#include "fault/disk_load.h"

#include <fmt/format.h>

#include "kernel/host_path.h"
#include "load/job.h"

namespace chaos {
namespace {

std::unexpected<Error> missing(const char* name, const char* what) {
  return fail(Errc::kInvalid, fmt::format("{} needs {}", what, name), fmt::format("parameters.{}", name), "required",
              fmt::format("give {}", name));
}

Result<UniqueFd> directory_of(const Plan& plan, const char* what) {
  if (!plan.reach.host) {
    return fail(Errc::kInvalid, "a file system is not one service's alone", "target", "host=localhost",
                "aim at host=localhost: the plan says who uses it");
  }
  const auto path = plan.parameters.find("path");
  if (path == plan.parameters.end()) return missing("path", what);
  auto directory = open_host_directory(path->second);
  if (!directory) return directory;
  const auto memory = is_memory(directory->get());
  if (!memory) return std::unexpected(memory.error());
  if (!*memory) return directory;
  return fail(Errc::kRefused, fmt::format("{} is in memory (tmpfs)", path->second), "parameters.path",
              "a file system on a disk", "resource=memory mode=pressure takes memory, and leaves a floor");
}

/// What is filled: to a level, or until so much is left. The level of a severity gives way to a given `leave`.
Status settle_level(Plan& plan) {
  const bool leave = plan.parameters.contains("leave");
  const bool level = plan.parameters.contains("level");
  if (!leave && !level) return missing("level", "disk fill");
  if (!leave || !level) return {};
  if (plan.request.parameters.contains("level")) {
    return fail(Errc::kInvalid, "both a level and what shall be left", "parameters.leave", "one of level and leave",
                "leave one of them out");
  }
  plan.parameters.erase("level");
  return {};
}

Status refine_fill(Plan& plan) {
  const auto directory = directory_of(plan, "disk fill");
  if (!directory) return std::unexpected(directory.error());
  if (Status status = settle_level(plan); !status) return status;
  const auto space = space_of(directory->get());
  if (!space) return std::unexpected(space.error());
  plan.mechanism = "a file without a name, of a process of chaosd's";
  const auto whole = static_cast<double>(space->whole());
  const auto level = get_probability(plan.parameters, "level");
  const auto leave = get_bytes(plan.parameters, "leave");
  const double left = level ? (1 - level->fraction()) * whole : static_cast<double>(leave.value_or(0));
  if (static_cast<double>(space->left) <= left) {
    plan.warnings.push_back(fmt::format("{} are in use already, {} are left: nothing is taken until others use less",
                                        format_percent(static_cast<double>(space->used) / whole),
                                        format_size(static_cast<double>(space->left))));
  }
  plan.reach.notes.push_back(fmt::format("of {}, {} are left now", format_size(static_cast<double>(space->whole())),
                                         format_size(static_cast<double>(space->left))));
  return {};
}

Status refine_write(Plan& plan) {
  const auto directory = directory_of(plan, "disk io_load");
  if (!directory) return std::unexpected(directory.error());
  if (!plan.parameters.contains("rate")) return missing("rate", "disk io_load");
  plan.mechanism = "writes of a process of chaosd's to a file without a name";
  return {};
}

/// As numbers in the worker's units.
Status add_number(LoadOrder& order, const Plan& plan, const char* name) {
  if (!plan.parameters.contains(name)) return {};
  const std::string_view key = name;
  if (key == "level") {
    const auto level = get_probability(plan.parameters, name);
    if (!level) return std::unexpected(level.error());
    order.arguments.push_back(fmt::format("level={}", level->fraction()));
  } else if (key == "leave") {
    const auto bytes = get_bytes(plan.parameters, name);
    if (!bytes) return std::unexpected(bytes.error());
    order.arguments.push_back(fmt::format("leave={}", *bytes));
  } else {
    const auto rate = get_bit_rate(plan.parameters, name);
    if (!rate) return std::unexpected(rate.error());
    order.arguments.push_back(fmt::format("rate={}", static_cast<double>(*rate) / 8));
  }
  return {};
}

Result<LoadWorkers::Find> orders_of(const Plan& plan, std::string_view job) {
  LoadOrder order{.key = "host", .cgroups = {}, .arguments = {}};
  order.arguments = {fmt::format("job={}", job), "path=" + plan.parameters.at("path")};
  for (const char* name : {"level", "leave", "rate"}) {
    if (Status status = add_number(order, plan, name); !status) return std::unexpected(status.error());
  }
  return LoadWorkers::Find(
      [order = std::move(order)](const ProcessReach&) -> Result<std::vector<LoadOrder>> { return std::vector{order}; });
}

}  // namespace

const LoadMeans kDiskFill{.refine = refine_fill, .orders = [](const Plan& plan) { return orders_of(plan, kFillJob); }};
const LoadMeans kDiskWrite{.refine = refine_write,
                           .orders = [](const Plan& plan) { return orders_of(plan, kWriteJob); }};

}  // namespace chaos
