#include "api/http.h"

#include <algorithm>

namespace chaos {

bool ByteStream::write(std::string_view bytes, std::size_t limit) {
  if (reader_gone_ || aborted_ || finished_ || pending_.size() + bytes.size() > limit) return false;
  pending_.append(bytes);
  notify();
  return true;
}

void ByteStream::finish() {
  finished_ = true;
  notify();
}

void ByteStream::abort() {
  aborted_ = true;
  pending_.clear();
  notify();
}

std::size_t ByteStream::read(char* to, std::size_t max) {
  const std::size_t size = std::min(max, pending_.size());
  std::copy_n(pending_.data(), size, to);
  pending_.erase(0, size);
  return size;
}

void ByteStream::reader_leaves() {
  reader_gone_ = true;
  wake_ = nullptr;
  pending_.clear();
}

void ByteStream::notify() {
  if (wake_) wake_();
}

}  // namespace chaos
