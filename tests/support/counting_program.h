// CountingProgram: somebody else's tc program, which counts packets and passes them on. Needs root. Throws
// std::runtime_error.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <vector>

#include "base/unique_fd.h"

namespace chaos::test {

enum class Side { kIngress, kEgress };

class CountingProgram {
 public:
  /// A field of struct __sk_buff, four bytes from `offset` on, that has this value, or another.
  struct Field {
    std::size_t offset;
    std::int32_t value;
    bool equal = true;
  };
  /// Counts the packets of which all that is so.
  explicit CountingProgram(const std::vector<Field>& conditions = {});

  /// As a classic filter of the calling thread's namespace; the device takes it along.
  void attach_classic(const char* device, Side side, std::uint32_t priority) const;

  [[nodiscard]] int fd() const { return program_.get(); }
  [[nodiscard]] std::uint64_t count() const;

 private:
  UniqueFd map_;
  UniqueFd program_;
};

}  // namespace chaos::test
