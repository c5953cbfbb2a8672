// Netlink: a netlink socket (libnl), and the dumps that are made by it. One thread; belongs to the network namespace of
// the thread that opened it, so it must not outlive what is done there.
#pragma once

#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <cerrno>
#include <memory>
#include <string>

#include "base/result.h"

namespace chaos {

class Netlink {
 public:
  /// `family`: as netlink(7). Error: kInternal.
  static Result<Netlink> open(int family = NETLINK_ROUTE) {
    Netlink netlink;
    netlink.socket_.reset(nl_socket_alloc());
    if (!netlink.socket_) return fail(Errc::kInternal, "netlink socket: out of memory");
    if (const int code = nl_connect(netlink.socket_.get(), family); code < 0) {
      return fail(Errc::kInternal, std::string("netlink socket: ") + nl_geterror(code));
    }
    return netlink;
  }
  /// For libnl's own functions.
  [[nodiscard]] nl_sock* get() const { return socket_.get(); }

  /// Sends a dump request and calls `use(nlmsghdr*)` for each answer. Error: kInternal, with EINTR if changes meanwhile
  /// have made it inconsistent (NLM_F_DUMP_INTR); it was read to its end then.
  template <class Header, class Use>
  Status dump(int type, Header header, Use use) {
    const auto on_message = [](nl_msg* message, void* argument) noexcept -> int {
      (*static_cast<Use*>(argument))(nlmsg_hdr(message));
      return NL_OK;
    };
    nl_socket_modify_cb(socket_.get(), NL_CB_VALID, NL_CB_CUSTOM, on_message, &use);
    int code = nl_send_simple(socket_.get(), type, NLM_F_DUMP, &header, sizeof header);
    if (code >= 0) code = nl_recvmsgs_default(socket_.get());
    if (code >= 0) return {};
    auto failed = fail(Errc::kInternal, "netlink dump " + std::to_string(type) + ": " + nl_geterror(code));
    if (code == -NLE_DUMP_INTR) failed.error().sys_errno = EINTR;
    return failed;
  }

  /// A dump that other changes interrupted is wrong (NLM_F_DUMP_INTR), so it is taken again, up to five times.
  template <class List, class Fill>
  static Result<List> repeat_dump(const Fill& fill) {
    constexpr int kTries = 5;
    for (int attempt = 1;; ++attempt) {
      List list{};
      auto done = fill(list);
      if (done) return list;
      if (attempt == kTries) return std::unexpected(std::move(done.error()));
    }
  }

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  std::unique_ptr<nl_sock, Free> socket_;
};

}  // namespace chaos
