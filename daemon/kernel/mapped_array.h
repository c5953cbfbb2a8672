// MappedArray: a BPF array (BPF_F_MMAPABLE) as plain memory. Stores reach programs at once, without a syscall.
// Move-only owner of the mapping; the map itself is owned by whoever holds its fd. Any thread, elements are atomic
// where the caller uses std::atomic_ref.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>
#include <utility>

#include "base/result.h"

namespace chaos {

template <class T>
class MappedArray {
 public:
  MappedArray() = default;
  MappedArray(MappedArray&& other) noexcept : elements_(std::exchange(other.elements_, {})) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    if (this != &other) {
      unmap();
      elements_ = std::exchange(other.elements_, {});
    }
    return *this;
  }
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() { unmap(); }

  /// `map_fd`: an array of `entries` values of T. Values lie 8-byte aligned, one after another (kernel/bpf/arraymap.c).
  static Result<MappedArray> map(int map_fd, std::size_t entries) {
    static_assert(sizeof(T) % 8 == 0, "array values are padded to 8 bytes");
    void* memory = ::mmap(nullptr, entries * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
    if (memory == MAP_FAILED) return fail_errno("map BPF array");
    MappedArray array;
    array.elements_ = {static_cast<T*>(memory), entries};
    return array;
  }

  [[nodiscard]] T& operator[](std::size_t index) const { return elements_[index]; }
  [[nodiscard]] std::size_t size() const { return elements_.size(); }

 private:
  void unmap() {
    if (!elements_.empty()) ::munmap(elements_.data(), elements_.size_bytes());
    elements_ = {};
  }
  std::span<T> elements_;
};

}  // namespace chaos
