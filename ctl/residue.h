// Residue: what chaosd left behind, asked of the daemon or looked for here. residue.cpp; the scan itself is the
// daemon's own code (safety/residue.h), called from local.cpp only.
#pragma once

#include "ctl/command.h"

namespace chaos::ctl {

/// GET /api/chaos/residue: {"clean": bool, "residue": [{class, id, detail}]}.
[[nodiscard]] Outcome<Json> ask_residue(Client& client);
[[nodiscard]] bool is_clean(const Json& residue);
/// "Residue: none", or a table of what is left.
void print_residue(const Context& context, const Json& residue);

}  // namespace chaos::ctl
