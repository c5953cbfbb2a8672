// A small file as text: read and written in one piece, as files of the kernel's want it.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace chaos::test {

/// Without line ends at its end; empty if it cannot be read.
[[nodiscard]] inline std::string text_of(const std::filesystem::path& file) {
  std::ostringstream read;
  // A process may end while its file is read: by iterators that would throw.
  read << std::ifstream(file).rdbuf();
  std::string text = std::move(read).str();
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

/// Throws if it is not taken.
inline void write_to(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  if (!out) throw std::runtime_error("write " + text + " to " + file.string());
}

}  // namespace chaos::test
