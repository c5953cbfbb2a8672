// What a file of the kernel's says, as one value that can be compared with what was written: the whole file, or what it
// says of one key where it has a line for each device. Any thread; blocks on locks of the kernel's.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/result.h"

namespace chaos {

/// Which value. `key`: empty for the whole file; "8:16" for the rest of that line (blkio.throttle.*); "8:16 wbps" for
/// one name of that line (io.max: cgroup-v2.rst, "nested keyed").
struct ValuePlace {
  std::string path;
  std::string key{};
  friend auto operator<=>(const ValuePlace&, const ValuePlace&) = default;
};

/// "io.max, 8:16 wbps" for people.
[[nodiscard]] std::string describe(const ValuePlace& place);

/// Out of the file's text. A device without a line has the value that writing takes for "no limit": "0" in v1, "max" in
/// v2. A v1 freezer on its way to FROZEN counts as there.
[[nodiscard]] std::string value_in(std::string_view text, const ValuePlace& place);
/// What is written to set it.
[[nodiscard]] std::string text_for(std::string_view value, const ValuePlace& place);

/// Of a file that is open. Errors: kNotFound (its cgroup or device is gone), kInternal.
[[nodiscard]] Result<std::string> read_value(int fd, const ValuePlace& place);
/// Errors: as read_value().
Status write_value(int fd, std::string_view value, const ValuePlace& place);

}  // namespace chaos
