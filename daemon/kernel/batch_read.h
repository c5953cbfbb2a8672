// Reading a whole BPF hash map with one value for each CPU: by batches (bpf(2), BPF_MAP_LOOKUP_BATCH), by one element
// after another where the kernel has none for the type. Internal to kernel/. Any thread.
#pragma once

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace chaos {

namespace batch_detail {

/// One element after another. Those that come meanwhile may be missing.
template <class Key, class Value, class Use>
Status read_each(int fd, std::size_t cpus, const Use& use) {
  std::vector<Value> values(cpus);
  Key key{};
  const Key* last = nullptr;
  while (bpf_map_get_next_key(fd, last, &key) == 0) {
    if (bpf_map_lookup_elem(fd, &key, values.data()) == 0) use(key, std::span<const Value>(values));
    last = &key;
  }
  return errno == ENOENT ? Status{} : fail_errno("read a BPF map");
}

}  // namespace batch_detail

/// Calls `use(key, values by CPU)` for each element. `cpus`: possible ones. Error: kInternal.
template <class Key, class Value, class Use>
Status read_per_cpu(int fd, std::size_t cpus, const Use& use) {
  static_assert(sizeof(Value) % 8 == 0, "values are padded to 8 bytes");
  constexpr std::uint32_t kBatch = 64;
  std::vector<Key> keys(kBatch);
  std::vector<Value> values(kBatch * cpus);
  std::uint32_t at = 0;
  bool first = true;
  while (true) {
    std::uint32_t count = kBatch;
    const int err = bpf_map_lookup_batch(fd, first ? nullptr : &at, &at, keys.data(), values.data(), &count, nullptr);
    const int code = err == 0 ? 0 : errno;
    // ENOSPC: a bucket of the hash has more than fits.
    if (first && code != 0 && code != ENOENT) return batch_detail::read_each<Key, Value>(fd, cpus, use);
    if (code != 0 && code != ENOENT) return fail_errno("read a BPF map by batches", code);
    first = false;
    for (std::uint32_t i = 0; i < count; ++i) use(keys[i], std::span<const Value>(values).subspan(i * cpus, cpus));
    if (code == ENOENT) return {};
  }
}

}  // namespace chaos
