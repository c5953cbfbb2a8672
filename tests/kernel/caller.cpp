#include "caller.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>

#include "ring.h"

namespace chaos::test {

struct Caller::Order {
  char call[32]{};
  int count = 0;
  int threads = 1;
  bool by_child = false;
  char directory[160]{};  ///< "open_at": where
  char name[96]{};        ///< and what; "read_of", "write_of": which type
};

namespace {

constexpr std::size_t kBytes = 512;
constexpr int kMostThreads = 8;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

/// What one thread calls with.
class Calls {
 public:
  Calls(const std::string& dir, int number) : dir_(dir), own_(dir + "/" + std::to_string(number)) {
    file_.reset(open((dir + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    (void)!ftruncate(file_.get(), 1 << 20);
    datagrams_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    listener_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)listen(listener_.get(), 8);
    epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  }

  /// Without a handle of the table: see Caller::open_at.
  static int open_at(const char* directory, const char* name) {
    // That it looks at no more than the path passes no security hook.
    const UniqueFd at(static_cast<int>(syscall(SYS_openat, AT_FDCWD, directory, O_PATH | O_DIRECTORY, 0)));
    return opening(SYS_openat, at.get(), name, O_RDONLY, 0);
  }
  int transfer(const std::string& call, const std::string& type, int bytes) {
    UniqueFd ends[2];
    int pair[2] = {-1, -1};
    if (type == "socket" ? socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) : pipe2(pair, O_CLOEXEC))
      return errno;
    ends[0].reset(pair[0]);
    ends[1].reset(pair[1]);
    const auto size = static_cast<std::size_t>(bytes);
    std::vector<char> buffer(size);
    if (call == "write") return raw(SYS_write, type == "regular" ? file_.get() : pair[1], buffer.data(), size);
    iovec data{buffer.data(), size};
    (void)syscall(SYS_pwritev2, pair[1], &data, 1, -1L, -1L, 0);
    return raw(SYS_read, type == "regular" ? file_.get() : pair[0], buffer.data(), size);
  }

  /// 0 or an errno. What a call has made is taken away again.
  int make(const std::string& name) {
    const auto found = table().find(name);
    return found == table().end() ? ENOSYS : found->second(*this);
  }

  using Table = std::map<std::string, std::function<int(Calls&)>>;
  static const Table& table();

 private:
  template <class... Args>
  static int raw(long number, Args... args) {
    return syscall(number, args...) < 0 ? errno : 0;
  }
  /// A descriptor that comes of it is closed.
  template <class... Args>
  static int opening(long number, Args... args) {
    const UniqueFd fd(static_cast<int>(syscall(number, args...)));
    return fd.valid() ? 0 : errno;
  }
  int send_message() {
    sockaddr_in to = loopback(9);
    iovec data{buffer_.data(), 1};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof(to);
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    return raw(SYS_sendmsg, datagrams_.get(), &message, 0);
  }
  int bind_anew() {
    const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_in any = loopback(0);
    return raw(SYS_bind, fd.get(), &any, sizeof(any));
  }
  int make_directory() {
    const int error = raw(SYS_mkdir, (own_ + ".d").c_str(), 0700);
    if (error == 0) (void)rmdir((own_ + ".d").c_str());
    return error;
  }
  int remove_file() {
    if (::mknod((own_ + ".u").c_str(), S_IFREG | 0600, 0) != 0 && errno != EEXIST) return errno;
    return raw(SYS_unlink, (own_ + ".u").c_str());
  }
  int rename_file() {
    if (::mknod((own_ + ".r").c_str(), S_IFREG | 0600, 0) != 0 && errno != EEXIST) return errno;
    return raw(SYS_rename, (own_ + ".r").c_str(), (own_ + ".s").c_str());
  }
  static int map_memory() {
    // The call's own result, and not glibc's mapping of it.
    const long got = syscall(SYS_mmap, nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got == -1) return errno;
    munmap(reinterpret_cast<void*>(got), 4096);
    return 0;
  }
  int close_copy() {
    const int copy = fcntl(file_.get(), F_DUPFD_CLOEXEC, 3);
    if (syscall(SYS_close, copy) == 0) return 0;
    // Another way to be rid of it.
    const int error = errno;
    (void)syscall(SYS_close_range, copy, copy, 0);
    return error;
  }
  static int clone_process() {
    const long pid = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (pid < 0) return errno;
    if (pid == 0) _exit(0);
    waitpid(static_cast<pid_t>(pid), nullptr, 0);
    return 0;
  }
  static int execute() {
    const pid_t pid = vfork();
    if (pid < 0) return errno;
    if (pid == 0) {
      const char* const arguments[] = {"sh", "-c", ":", nullptr};
      const char* const environment[] = {nullptr};
      (void)syscall(SYS_execve, "/bin/sh", arguments, environment);
      _exit(errno);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
  }

  std::string dir_;
  std::string own_;
  UniqueFd file_;
  UniqueFd datagrams_;
  UniqueFd listener_;
  UniqueFd epoll_;
  Ring ring_;
  std::array<char, kBytes> buffer_{};
  std::uint32_t word_ = 0;
};

const Calls::Table& Calls::table() {
  static const int kOne = 1;
  static const Table calls{
      {"read", [](Calls& c) { return raw(SYS_read, c.file_.get(), c.buffer_.data(), 1); }},
      {"write", [](Calls& c) { return raw(SYS_write, c.file_.get(), c.buffer_.data(), 1); }},
      {"pread64", [](Calls& c) { return raw(SYS_pread64, c.file_.get(), c.buffer_.data(), kBytes, 0); }},
      {"pwrite64", [](Calls& c) { return raw(SYS_pwrite64, c.file_.get(), c.buffer_.data(), kBytes, 0); }},
      {"openat", [](Calls& c) { return opening(SYS_openat, AT_FDCWD, (c.dir_ + "/file").c_str(), O_RDONLY, 0); }},
      {"close", [](Calls& c) { return c.close_copy(); }},
      {"fsync", [](Calls& c) { return raw(SYS_fsync, c.file_.get()); }},
      {"fdatasync", [](Calls& c) { return raw(SYS_fdatasync, c.file_.get()); }},
      {"rename", [](Calls& c) { return c.rename_file(); }},
      {"unlink", [](Calls& c) { return c.remove_file(); }},
      {"mkdir", [](Calls& c) { return c.make_directory(); }},
      {"stat",
       [](Calls& c) {
         struct stat out {};
         return raw(SYS_stat, (c.dir_ + "/file").c_str(), &out);
       }},
      {"mmap", [](Calls&) { return map_memory(); }},
      {"ftruncate", [](Calls& c) { return raw(SYS_ftruncate, c.file_.get(), 1 << 20); }},
      {"fallocate", [](Calls& c) { return raw(SYS_fallocate, c.file_.get(), 0, 0, 4096); }},
      {"execve", [](Calls&) { return execute(); }},
      {"clone", [](Calls&) { return clone_process(); }},
      {"kill", [](Calls&) { return raw(SYS_kill, getpid(), 0); }},
      {"socket", [](Calls&) { return opening(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }},
      {"connect",
       [](Calls& c) {
         const sockaddr_in to = loopback(9);
         const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
         (void)c;
         return raw(SYS_connect, fd.get(), &to, sizeof(to));
       }},
      {"bind", [](Calls& c) { return c.bind_anew(); }},
      {"listen", [](Calls& c) { return raw(SYS_listen, c.listener_.get(), 8); }},
      {"accept4", [](Calls& c) { return opening(SYS_accept4, c.listener_.get(), nullptr, nullptr, SOCK_CLOEXEC); }},
      {"sendto",
       [](Calls& c) {
         const sockaddr_in to = loopback(9);
         return raw(SYS_sendto, c.datagrams_.get(), c.buffer_.data(), 1, 0, &to, sizeof(to));
       }},
      {"sendmsg", [](Calls& c) { return c.send_message(); }},
      {"recvfrom",
       [](Calls& c) {
         return raw(SYS_recvfrom, c.datagrams_.get(), c.buffer_.data(), 1, MSG_DONTWAIT, nullptr, nullptr);
       }},
      {"setsockopt",
       [](Calls& c) { return raw(SYS_setsockopt, c.datagrams_.get(), SOL_SOCKET, SO_REUSEADDR, &kOne, sizeof(kOne)); }},
      {"getsockopt",
       [](Calls& c) {
         int value = 0;
         socklen_t size = sizeof(value);
         return raw(SYS_getsockopt, c.datagrams_.get(), SOL_SOCKET, SO_TYPE, &value, &size);
       }},
      {"epoll_wait",
       [](Calls& c) {
         epoll_event event{};
         return raw(SYS_epoll_wait, c.epoll_.get(), &event, 1, 0);
       }},
      {"futex", [](Calls& c) { return raw(SYS_futex, &c.word_, FUTEX_WAKE, 1, nullptr, nullptr, 0); }},
      {"io_uring_read",
       [](Calls& c) { return c.ring_.transfer(IORING_OP_READ, c.file_.get(), c.buffer_.data(), kBytes); }},
      {"io_uring_write",
       [](Calls& c) { return c.ring_.transfer(IORING_OP_WRITE, c.file_.get(), c.buffer_.data(), kBytes); }},
  };
  return calls;
}

/// By pipe: as many pairs as the first number says.
void answer(int fd, const Outcomes& outcomes) {
  std::vector<int> words{static_cast<int>(outcomes.size())};
  for (const auto& [error, count] : outcomes) {
    words.push_back(error);
    words.push_back(count);
  }
  // By a call that no test makes fail.
  iovec data{words.data(), words.size() * sizeof(int)};
  if (syscall(SYS_pwritev2, fd, &data, 1, -1L, -1L, 0) < 0) _exit(1);
}

Outcomes make_all(Calls& calls, const std::string& call, int count) {
  Outcomes outcomes;
  for (int i = 0; i < count; ++i) ++outcomes[calls.make(call)];
  return outcomes;
}

void add(Outcomes& sum, const Outcomes& more) {
  for (const auto& [error, count] : more) sum[error] += count;
}

}  // namespace

Caller::Caller(const As& as) {
  std::filesystem::permissions(dir_.path(), std::filesystem::perms(0777));
  std::array<int, 2> orders{};
  std::array<int, 2> answers{};
  if (pipe2(orders.data(), O_CLOEXEC) != 0 || pipe2(answers.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipe");
  }
  to_.reset(orders[1]);
  from_.reset(answers[0]);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("no process");
  if (pid_ > 0) {
    ::close(orders[0]);
    ::close(answers[1]);
    (void)receive();
    return;
  }
  to_.reset();
  from_.reset();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!as.comm.empty()) prctl(PR_SET_NAME, as.comm.c_str());
  if (as.uid != 0 && (setresgid(as.uid, as.uid, as.uid) != 0 || setresuid(as.uid, as.uid, as.uid) != 0)) _exit(1);
  if (!as.bind.first.empty() || !as.root.empty()) {
    const auto bind = [](const std::string& from, const std::string& to) {
      return mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0;
    };
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(1);
    if (!as.bind.first.empty() && !bind(as.bind.first, as.bind.second)) _exit(1);
    if (!as.root.empty() && (chroot(as.root.c_str()) != 0 || chdir("/") != 0)) _exit(1);
  }
  // Waiting for an order and giving an answer are calls as well, but none that a test makes fail: see answer().
  const std::string dir = as.root.empty() ? dir_.path().string() : "";
  // All that they need is there before anything fails.
  std::vector<std::unique_ptr<Calls>> calls;
  for (int i = 0; i < kMostThreads; ++i) calls.push_back(std::make_unique<Calls>(dir, i));
  answer(answers[1], {});
  Order order;
  std::vector<char> bytes(sizeof(order));
  for (;;) {
    iovec data{bytes.data(), bytes.size()};
    if (syscall(SYS_preadv2, orders[0], &data, 1, -1L, -1L, 0) != static_cast<long>(sizeof(order))) _exit(0);
    std::memcpy(&order, bytes.data(), sizeof(order));
    const std::string call = order.call;
    if (call == "open_at") {
      answer(answers[1], {{Calls::open_at(order.directory, order.name), 1}});
      continue;
    }
    if (call.ends_with("_of")) {
      const int error = calls.front()->transfer(call.substr(0, call.size() - 3), order.name, order.count);
      answer(answers[1], {{error, 1}});
      continue;
    }
    if (order.by_child) {
      const pid_t child = fork();
      if (child == 0) {
        answer(answers[1], make_all(*calls.front(), order.call, order.count));
        _exit(0);
      }
      waitpid(child, nullptr, 0);
      continue;
    }
    if (order.threads == 1) {
      answer(answers[1], make_all(*calls.front(), order.call, order.count));
      continue;
    }
    std::vector<Outcomes> each(static_cast<std::size_t>(order.threads));
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < each.size(); ++i) {
      threads.emplace_back([&, i] { each[i] = make_all(*calls[i], order.call, order.count / order.threads); });
    }
    for (std::thread& thread : threads) thread.join();
    Outcomes sum;
    for (const Outcomes& own : each) add(sum, own);
    answer(answers[1], sum);
  }
}

Caller::~Caller() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Outcomes Caller::order(const Order& order) const {
  if (::write(to_.get(), &order, sizeof(order)) != static_cast<ssize_t>(sizeof(order))) {
    throw std::runtime_error("the caller is gone");
  }
  return receive();
}

Outcomes Caller::receive() const {
  int pairs = 0;
  if (::read(from_.get(), &pairs, sizeof(pairs)) != static_cast<ssize_t>(sizeof(pairs))) {
    throw std::runtime_error("the caller does not answer");
  }
  Outcomes outcomes;
  for (int i = 0; i < pairs; ++i) {
    std::array<int, 2> pair{};
    if (::read(from_.get(), pair.data(), sizeof(pair)) != static_cast<ssize_t>(sizeof(pair))) {
      throw std::runtime_error("the caller breaks off");
    }
    outcomes[pair[0]] = pair[1];
  }
  return outcomes;
}

Outcomes Caller::make(const std::string& call, int count, int threads) const {
  Order wanted;
  call.copy(wanted.call, sizeof(wanted.call) - 1);
  wanted.count = count;
  wanted.threads = threads;
  return order(wanted);
}

int Caller::open_at(const std::string& directory, const std::string& name) const {
  Order wanted{.call = "open_at"};
  directory.copy(wanted.directory, sizeof(wanted.directory) - 1);
  name.copy(wanted.name, sizeof(wanted.name) - 1);
  return order(wanted).begin()->first;
}

int Caller::transfer(const std::string& call, const std::string& type, int bytes) const {
  Order wanted;
  (call + "_of").copy(wanted.call, sizeof(wanted.call) - 1);
  type.copy(wanted.name, sizeof(wanted.name) - 1);
  wanted.count = bytes;
  return order(wanted).begin()->first;
}

Outcomes Caller::make_by_child(const std::string& call, int count) const {
  Order wanted;
  call.copy(wanted.call, sizeof(wanted.call) - 1);
  wanted.count = count;
  wanted.by_child = true;
  return order(wanted);
}

std::vector<std::string> Caller::calls() {
  std::vector<std::string> names;
  for (const auto& [name, call] : Calls::table()) names.push_back(name);
  return names;
}

int Caller::natural(const std::string& call) { return call == "accept4" || call == "recvfrom" ? EAGAIN : 0; }

}  // namespace chaos::test
