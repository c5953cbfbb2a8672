// Kinds: what the daemon says that can be started, with which parameters. chaosctl knows none by itself.
#pragma once

#include <string>

#include "ctl/command.h"

namespace chaos::ctl {

/// GET /api/chaos/kinds: {"kinds": [...], "common_parameters": [...]}.
[[nodiscard]] Outcome<Json> fetch_kinds(Client& client);
/// The kind of that name; null if there is none.
[[nodiscard]] const Json* find_kind(const Json& kinds, std::string_view name);
/// The parameters of `kind`, behind the help of start and plan; a hint if the daemon cannot be asked.
void print_kind_help(Context& context, const std::string& kind);

}  // namespace chaos::ctl
