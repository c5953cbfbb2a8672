// Where the daemon listens, unless it is told otherwise (CONTRACT: chaosd.sock in the runtime directory).
#pragma once

#include <string_view>

namespace chaos::ctl {

inline constexpr std::string_view kDefaultSocket = "/run/chaosd/chaosd.sock";

}  // namespace chaos::ctl
