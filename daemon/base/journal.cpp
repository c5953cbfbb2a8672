#include "base/journal.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstring>
#include <utility>

namespace chaos {
namespace {

// "NAME=value\n", or with a line break in the value: name, line break, size (64 bits, little-endian), value.
void put_field(std::string& datagram, const JournalField& field) {
  datagram += field.name;
  if (field.value.find('\n') == std::string::npos) {
    datagram += '=';
  } else {
    datagram += '\n';
    std::uint64_t size = field.value.size();
    for (int i = 0; i < 8; ++i, size >>= 8) datagram += static_cast<char>(size & 0xff);
  }
  datagram += field.value;
  datagram += '\n';
}

}  // namespace

Result<JournalSocket> JournalSocket::open(std::filesystem::path path) {
  if (path.native().size() >= sizeof(sockaddr_un::sun_path)) return fail_errno(path.string(), ENAMETOOLONG);
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno("journal socket");
  return JournalSocket(std::move(fd), std::move(path));
}

Status JournalSocket::send(std::span<const JournalField> fields) const {
  std::string datagram;
  for (const JournalField& field : fields) put_field(datagram, field);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.c_str(), path_.native().size());
  // By name each time: after journald's socket was made anew it is another one.
  if (::sendto(fd_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return fail_errno("send to " + path_.string());
  }
  return {};
}

}  // namespace chaos
