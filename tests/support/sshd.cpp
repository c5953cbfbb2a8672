#include "support/sshd.h"

#include <filesystem>
#include <stdexcept>
#include <vector>

#include "support/observe.h"

namespace chaos::test {

Sshd::Sshd(const Namespace& ns) : ns_(ns.name()) {
  const std::string dir = dir_.path().string();
  (void)shell("ssh-keygen -q -t ed25519 -N '' -f " + dir + "/key && cp " + dir + "/key.pub " + dir + "/allowed");
  made_ = std::filesystem::create_directory("/run/sshd");  // it insists on it
  server_.emplace("/usr/bin/setpriv", std::vector<std::string>{"setpriv",
                                                               "--pdeathsig",
                                                               "KILL",
                                                               "nsenter",
                                                               "--net=/run/netns/" + ns_,
                                                               "/usr/sbin/sshd",
                                                               "-D",
                                                               "-f",
                                                               "/dev/null",
                                                               "-h",
                                                               dir + "/key",
                                                               "-o",
                                                               "StrictModes=no",
                                                               "-o",
                                                               "PidFile=none",
                                                               "-o",
                                                               "UsePAM=no",
                                                               "-o",
                                                               "AuthorizedKeysFile=" + dir + "/allowed",
                                                               "-o",
                                                               "ListenAddress=127.0.0.1",
                                                               "-o",
                                                               "PermitRootLogin=yes"});
  if (!eventually([&] { return try_shell(client("true")).status == 0; })) {
    throw std::runtime_error("sshd does not answer: " + try_shell(client("true")).output);
  }
}

Sshd::~Sshd() {
  server_.reset();
  std::error_code ignored;
  if (made_) std::filesystem::remove("/run/sshd", ignored);
}

std::string Sshd::client(const std::string& command) const {
  return "nsenter --net=/run/netns/" + ns_ + " ssh -F /dev/null -q -t -i " + (dir_.path() / "key").string() +
         " -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.0.0.1 '" + command + "'";
}

}  // namespace chaos::test
