#include "kernel/syscall_table.h"

#include <algorithm>
#include <array>

#include "base/contains.h"

namespace chaos {
namespace {

using enum SyscallGroup;

constexpr std::array kBprmCheckSecurityHook{CHAOS_HOOK_BPRM_CHECK_SECURITY};
constexpr std::array kFileIoctlHook{CHAOS_HOOK_FILE_IOCTL};
constexpr std::array kFileLockHook{CHAOS_HOOK_FILE_LOCK};
constexpr std::array kFileMprotectHook{CHAOS_HOOK_FILE_MPROTECT};
constexpr std::array kFileOpenHook{CHAOS_HOOK_FILE_OPEN};
constexpr std::array kFilePermissionHook{CHAOS_HOOK_FILE_PERMISSION};
constexpr std::array kInodeGetattrHook{CHAOS_HOOK_INODE_GETATTR};
constexpr std::array kInodeLinkHook{CHAOS_HOOK_INODE_LINK};
constexpr std::array kInodeMkdirHook{CHAOS_HOOK_INODE_MKDIR};
constexpr std::array kInodeRenameHook{CHAOS_HOOK_INODE_RENAME};
constexpr std::array kInodeRmdirHook{CHAOS_HOOK_INODE_RMDIR};
constexpr std::array kInodeSymlinkHook{CHAOS_HOOK_INODE_SYMLINK};
constexpr std::array kInodeUnlinkHook{CHAOS_HOOK_INODE_UNLINK};
constexpr std::array kMmapFileHook{CHAOS_HOOK_MMAP_FILE};
constexpr std::array kPathTruncateHook{CHAOS_HOOK_PATH_TRUNCATE};
constexpr std::array kSocketAcceptHook{CHAOS_HOOK_SOCKET_ACCEPT};
constexpr std::array kSocketBindHook{CHAOS_HOOK_SOCKET_BIND};
constexpr std::array kSocketConnectHook{CHAOS_HOOK_SOCKET_CONNECT};
constexpr std::array kSocketCreateHook{CHAOS_HOOK_SOCKET_CREATE};
constexpr std::array kSocketGetsockoptHook{CHAOS_HOOK_SOCKET_GETSOCKOPT};
constexpr std::array kSocketListenHook{CHAOS_HOOK_SOCKET_LISTEN};
constexpr std::array kSocketRecvmsgHook{CHAOS_HOOK_SOCKET_RECVMSG};
constexpr std::array kSocketSendmsgHook{CHAOS_HOOK_SOCKET_SENDMSG};
constexpr std::array kSocketSetsockoptHook{CHAOS_HOOK_SOCKET_SETSOCKOPT};
constexpr std::array kSocketShutdownHook{CHAOS_HOOK_SOCKET_SHUTDOWN};
constexpr std::array kTaskAllocHook{CHAOS_HOOK_TASK_ALLOC};
constexpr std::array kTaskKillHook{CHAOS_HOOK_TASK_KILL};
constexpr std::array kTruncateHook{CHAOS_HOOK_FILE_TRUNCATE, CHAOS_HOOK_PATH_TRUNCATE};
constexpr std::array kUnlinkatHook{CHAOS_HOOK_INODE_UNLINK, CHAOS_HOOK_INODE_RMDIR};
constexpr std::array kCgroupBindHook{CHAOS_HOOK_BIND};
constexpr std::array kCgroupConnectHook{CHAOS_HOOK_CONNECT};
constexpr std::array kCgroupGetsockoptHook{CHAOS_HOOK_GETSOCKOPT};
constexpr std::array kCgroupSendmsgHook{CHAOS_HOOK_SENDMSG};
constexpr std::array kCgroupSetsockoptHook{CHAOS_HOOK_SETSOCKOPT};
constexpr std::array kCgroupSockCreateHook{CHAOS_HOOK_SOCK_CREATE};

// Calls that move data between two files (sendfile, splice) or in many messages pass their hook more than once: they
// have none here.
constexpr std::array kTable{
    SyscallInfo{.name = "read",
                .group = kFile,
                .number = 0,
                .entry = "read",
                .has_fd = true,
                .has_size = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "write",
                .group = kFile,
                .number = 1,
                .entry = "write",
                .has_fd = true,
                .has_size = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "open", .group = kFile, .number = 2, .entry = "open", .security = kFileOpenHook},
    SyscallInfo{.name = "close", .group = kFile, .number = 3, .entry = "close", .has_fd = true, .named_only = true},
    SyscallInfo{.name = "stat", .group = kFile, .number = 4, .entry = "newstat", .security = kInodeGetattrHook},
    SyscallInfo{.name = "fstat",
                .group = kFile,
                .number = 5,
                .entry = "newfstat",
                .has_fd = true,
                .security = kInodeGetattrHook},
    SyscallInfo{.name = "lstat", .group = kFile, .number = 6, .entry = "newlstat", .security = kInodeGetattrHook},
    SyscallInfo{.name = "poll", .group = kNetwork, .number = 7, .entry = "poll"},
    SyscallInfo{.name = "lseek", .group = kFile, .number = 8, .entry = "lseek", .has_fd = true},
    SyscallInfo{.name = "mmap", .group = kMemory, .number = 9, .entry = "mmap", .security = kMmapFileHook},
    SyscallInfo{.name = "mprotect", .group = kMemory, .number = 10, .entry = "mprotect", .security = kFileMprotectHook},
    SyscallInfo{.name = "munmap", .group = kMemory, .number = 11, .entry = "munmap", .named_only = true},
    SyscallInfo{.name = "brk", .group = kMemory, .number = 12, .entry = "brk", .named_only = true},
    SyscallInfo{.name = "rt_sigreturn", .group = kProcess, .number = 15, .entry = "rt_sigreturn", .named_only = true},
    SyscallInfo{
        .name = "ioctl", .group = kFile, .number = 16, .entry = "ioctl", .has_fd = true, .security = kFileIoctlHook},
    SyscallInfo{.name = "pread64",
                .group = kFile,
                .number = 17,
                .entry = "pread64",
                .has_fd = true,
                .has_size = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "pwrite64",
                .group = kFile,
                .number = 18,
                .entry = "pwrite64",
                .has_fd = true,
                .has_size = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "readv",
                .group = kFile,
                .number = 19,
                .entry = "readv",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "writev",
                .group = kFile,
                .number = 20,
                .entry = "writev",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "access", .group = kFile, .number = 21, .entry = "access"},
    SyscallInfo{.name = "pipe", .group = kFile, .number = 22, .entry = "pipe"},
    SyscallInfo{.name = "select", .group = kNetwork, .number = 23, .entry = "select"},
    SyscallInfo{.name = "mremap", .group = kMemory, .number = 25, .entry = "mremap"},
    SyscallInfo{.name = "msync", .group = kMemory, .number = 26, .entry = "msync"},
    SyscallInfo{.name = "madvise", .group = kMemory, .number = 28, .entry = "madvise"},
    SyscallInfo{.name = "dup", .group = kFile, .number = 32, .entry = "dup", .has_fd = true},
    SyscallInfo{.name = "dup2", .group = kFile, .number = 33, .entry = "dup2", .has_fd = true},
    SyscallInfo{.name = "nanosleep", .group = kProcess, .number = 35, .entry = "nanosleep"},
    SyscallInfo{.name = "sendfile", .group = kFile, .number = 40, .entry = "sendfile64"},
    SyscallInfo{.name = "socket",
                .group = kNetwork,
                .number = 41,
                .entry = "socket",
                .security = kSocketCreateHook,
                .cgroup = kCgroupSockCreateHook},
    SyscallInfo{.name = "connect",
                .group = kNetwork,
                .number = 42,
                .entry = "connect",
                .has_fd = true,
                .security = kSocketConnectHook,
                .cgroup = kCgroupConnectHook},
    SyscallInfo{.name = "accept",
                .group = kNetwork,
                .number = 43,
                .entry = "accept",
                .has_fd = true,
                .security = kSocketAcceptHook},
    SyscallInfo{.name = "sendto",
                .group = kNetwork,
                .number = 44,
                .entry = "sendto",
                .has_fd = true,
                .has_size = true,
                .security = kSocketSendmsgHook,
                .cgroup = kCgroupSendmsgHook},
    SyscallInfo{.name = "recvfrom",
                .group = kNetwork,
                .number = 45,
                .entry = "recvfrom",
                .has_fd = true,
                .has_size = true,
                .security = kSocketRecvmsgHook},
    SyscallInfo{.name = "sendmsg",
                .group = kNetwork,
                .number = 46,
                .entry = "sendmsg",
                .has_fd = true,
                .security = kSocketSendmsgHook,
                .cgroup = kCgroupSendmsgHook},
    SyscallInfo{.name = "recvmsg",
                .group = kNetwork,
                .number = 47,
                .entry = "recvmsg",
                .has_fd = true,
                .security = kSocketRecvmsgHook},
    SyscallInfo{.name = "shutdown",
                .group = kNetwork,
                .number = 48,
                .entry = "shutdown",
                .has_fd = true,
                .security = kSocketShutdownHook},
    SyscallInfo{.name = "bind",
                .group = kNetwork,
                .number = 49,
                .entry = "bind",
                .has_fd = true,
                .security = kSocketBindHook,
                .cgroup = kCgroupBindHook},
    SyscallInfo{.name = "listen",
                .group = kNetwork,
                .number = 50,
                .entry = "listen",
                .has_fd = true,
                .security = kSocketListenHook},
    SyscallInfo{.name = "socketpair", .group = kNetwork, .number = 53, .entry = "socketpair"},
    SyscallInfo{.name = "setsockopt",
                .group = kNetwork,
                .number = 54,
                .entry = "setsockopt",
                .has_fd = true,
                .security = kSocketSetsockoptHook,
                .cgroup = kCgroupSetsockoptHook},
    SyscallInfo{.name = "getsockopt",
                .group = kNetwork,
                .number = 55,
                .entry = "getsockopt",
                .has_fd = true,
                .security = kSocketGetsockoptHook,
                .cgroup = kCgroupGetsockoptHook},
    SyscallInfo{.name = "clone", .group = kProcess, .number = 56, .entry = "clone", .security = kTaskAllocHook},
    SyscallInfo{.name = "fork", .group = kProcess, .number = 57, .entry = "fork", .security = kTaskAllocHook},
    SyscallInfo{.name = "vfork", .group = kProcess, .number = 58, .entry = "vfork", .security = kTaskAllocHook},
    SyscallInfo{.name = "execve",
                .group = kProcess,
                .number = 59,
                .entry = "execve",
                .named_only = true,
                .security = kBprmCheckSecurityHook},
    SyscallInfo{.name = "wait4", .group = kProcess, .number = 61, .entry = "wait4"},
    SyscallInfo{.name = "kill", .group = kProcess, .number = 62, .entry = "kill", .security = kTaskKillHook},
    SyscallInfo{.name = "fcntl", .group = kFile, .number = 72, .entry = "fcntl", .has_fd = true},
    SyscallInfo{
        .name = "flock", .group = kFile, .number = 73, .entry = "flock", .has_fd = true, .security = kFileLockHook},
    SyscallInfo{.name = "fsync", .group = kFile, .number = 74, .entry = "fsync", .has_fd = true},
    SyscallInfo{.name = "fdatasync", .group = kFile, .number = 75, .entry = "fdatasync", .has_fd = true},
    SyscallInfo{.name = "truncate", .group = kFile, .number = 76, .entry = "truncate", .security = kPathTruncateHook},
    SyscallInfo{.name = "ftruncate",
                .group = kFile,
                .number = 77,
                .entry = "ftruncate",
                .has_fd = true,
                .security = kTruncateHook},
    SyscallInfo{.name = "chdir", .group = kFile, .number = 80, .entry = "chdir"},
    SyscallInfo{.name = "rename", .group = kFile, .number = 82, .entry = "rename", .security = kInodeRenameHook},
    SyscallInfo{.name = "mkdir", .group = kFile, .number = 83, .entry = "mkdir", .security = kInodeMkdirHook},
    SyscallInfo{.name = "rmdir", .group = kFile, .number = 84, .entry = "rmdir", .security = kInodeRmdirHook},
    SyscallInfo{.name = "creat", .group = kFile, .number = 85, .entry = "creat", .security = kFileOpenHook},
    SyscallInfo{.name = "link", .group = kFile, .number = 86, .entry = "link", .security = kInodeLinkHook},
    SyscallInfo{.name = "unlink", .group = kFile, .number = 87, .entry = "unlink", .security = kInodeUnlinkHook},
    SyscallInfo{.name = "symlink", .group = kFile, .number = 88, .entry = "symlink", .security = kInodeSymlinkHook},
    SyscallInfo{.name = "readlink", .group = kFile, .number = 89, .entry = "readlink"},
    SyscallInfo{.name = "chmod", .group = kFile, .number = 90, .entry = "chmod"},
    SyscallInfo{.name = "fchmod", .group = kFile, .number = 91, .entry = "fchmod", .has_fd = true},
    SyscallInfo{.name = "chown", .group = kFile, .number = 92, .entry = "chown"},
    SyscallInfo{.name = "fchown", .group = kFile, .number = 93, .entry = "fchown", .has_fd = true},
    SyscallInfo{.name = "statfs", .group = kFile, .number = 137, .entry = "statfs"},
    SyscallInfo{.name = "fstatfs", .group = kFile, .number = 138, .entry = "fstatfs", .has_fd = true},
    SyscallInfo{.name = "mlock", .group = kMemory, .number = 149, .entry = "mlock"},
    SyscallInfo{.name = "mlockall", .group = kMemory, .number = 151, .entry = "mlockall"},
    SyscallInfo{.name = "sync", .group = kFile, .number = 162, .entry = "sync"},
    SyscallInfo{.name = "futex", .group = kProcess, .number = 202, .entry = "futex", .named_only = true},
    SyscallInfo{.name = "getdents64",
                .group = kFile,
                .number = 217,
                .entry = "getdents64",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "epoll_wait", .group = kNetwork, .number = 232, .entry = "epoll_wait"},
    SyscallInfo{.name = "epoll_ctl", .group = kNetwork, .number = 233, .entry = "epoll_ctl"},
    SyscallInfo{.name = "tgkill", .group = kProcess, .number = 234, .entry = "tgkill", .security = kTaskKillHook},
    SyscallInfo{.name = "openat", .group = kFile, .number = 257, .entry = "openat", .security = kFileOpenHook},
    SyscallInfo{.name = "mkdirat", .group = kFile, .number = 258, .entry = "mkdirat", .security = kInodeMkdirHook},
    SyscallInfo{
        .name = "newfstatat", .group = kFile, .number = 262, .entry = "newfstatat", .security = kInodeGetattrHook},
    SyscallInfo{.name = "unlinkat", .group = kFile, .number = 263, .entry = "unlinkat", .security = kUnlinkatHook},
    SyscallInfo{.name = "renameat", .group = kFile, .number = 264, .entry = "renameat", .security = kInodeRenameHook},
    SyscallInfo{.name = "linkat", .group = kFile, .number = 265, .entry = "linkat", .security = kInodeLinkHook},
    SyscallInfo{
        .name = "symlinkat", .group = kFile, .number = 266, .entry = "symlinkat", .security = kInodeSymlinkHook},
    SyscallInfo{.name = "faccessat", .group = kFile, .number = 269, .entry = "faccessat"},
    SyscallInfo{.name = "ppoll", .group = kNetwork, .number = 271, .entry = "ppoll"},
    SyscallInfo{.name = "sync_file_range", .group = kFile, .number = 277, .entry = "sync_file_range", .has_fd = true},
    SyscallInfo{.name = "epoll_pwait", .group = kNetwork, .number = 281, .entry = "epoll_pwait"},
    SyscallInfo{.name = "fallocate",
                .group = kFile,
                .number = 285,
                .entry = "fallocate",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "accept4",
                .group = kNetwork,
                .number = 288,
                .entry = "accept4",
                .has_fd = true,
                .security = kSocketAcceptHook},
    SyscallInfo{.name = "eventfd2", .group = kFile, .number = 290, .entry = "eventfd2"},
    SyscallInfo{.name = "epoll_create1", .group = kNetwork, .number = 291, .entry = "epoll_create1"},
    SyscallInfo{.name = "dup3", .group = kFile, .number = 292, .entry = "dup3", .has_fd = true},
    SyscallInfo{.name = "pipe2", .group = kFile, .number = 293, .entry = "pipe2"},
    SyscallInfo{.name = "preadv",
                .group = kFile,
                .number = 295,
                .entry = "preadv",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "pwritev",
                .group = kFile,
                .number = 296,
                .entry = "pwritev",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "recvmmsg", .group = kNetwork, .number = 299, .entry = "recvmmsg", .has_fd = true},
    SyscallInfo{.name = "syncfs", .group = kFile, .number = 306, .entry = "syncfs", .has_fd = true},
    SyscallInfo{.name = "sendmmsg", .group = kNetwork, .number = 307, .entry = "sendmmsg", .has_fd = true},
    SyscallInfo{.name = "renameat2", .group = kFile, .number = 316, .entry = "renameat2", .security = kInodeRenameHook},
    SyscallInfo{.name = "getrandom", .group = kFile, .number = 318, .entry = "getrandom"},
    SyscallInfo{.name = "memfd_create", .group = kFile, .number = 319, .entry = "memfd_create"},
    SyscallInfo{.name = "execveat",
                .group = kProcess,
                .number = 322,
                .entry = "execveat",
                .named_only = true,
                .security = kBprmCheckSecurityHook},
    SyscallInfo{.name = "copy_file_range", .group = kFile, .number = 326, .entry = "copy_file_range", .has_fd = true},
    SyscallInfo{.name = "preadv2",
                .group = kFile,
                .number = 327,
                .entry = "preadv2",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "pwritev2",
                .group = kFile,
                .number = 328,
                .entry = "pwritev2",
                .has_fd = true,
                .security = kFilePermissionHook},
    SyscallInfo{.name = "statx", .group = kFile, .number = 332, .entry = "statx", .security = kInodeGetattrHook},
    SyscallInfo{.name = "io_uring_setup", .group = kFile, .number = 425, .entry = "io_uring_setup"},
    SyscallInfo{.name = "io_uring_enter", .group = kFile, .number = 426, .entry = "io_uring_enter", .has_fd = true},
    SyscallInfo{.name = "clone3", .group = kProcess, .number = 435, .entry = "clone3", .security = kTaskAllocHook},
    SyscallInfo{.name = "openat2", .group = kFile, .number = 437, .entry = "openat2", .security = kFileOpenHook},
    SyscallInfo{.name = "faccessat2", .group = kFile, .number = 439, .entry = "faccessat2"},
    SyscallInfo{.name = "epoll_pwait2", .group = kNetwork, .number = 441, .entry = "epoll_pwait2"},
    SyscallInfo{
        .name = "io_uring_read", .group = kFile, .number = CHAOS_IO_URING_READ, .security = kFilePermissionHook},
    SyscallInfo{
        .name = "io_uring_write", .group = kFile, .number = CHAOS_IO_URING_WRITE, .security = kFilePermissionHook},
};

constexpr std::array<std::string_view, CHAOS_SYSCALL_HOOKS> kHookNames{
    "entry",
    "connect",
    "bind",
    "sendmsg",
    "sock_create",
    "setsockopt",
    "getsockopt",
    "file_open",
    "file_permission",
    "inode_getattr",
    "file_truncate",
    "path_truncate",
    "inode_rename",
    "inode_unlink",
    "inode_rmdir",
    "inode_mkdir",
    "inode_symlink",
    "inode_link",
    "mmap_file",
    "file_mprotect",
    "file_ioctl",
    "file_lock",
    "bprm_check_security",
    "task_alloc",
    "task_kill",
    "socket_create",
    "socket_connect",
    "socket_bind",
    "socket_listen",
    "socket_accept",
    "socket_sendmsg",
    "socket_recvmsg",
    "socket_setsockopt",
    "socket_getsockopt",
    "socket_shutdown",
};

/// Where bpf_d_path() may be called (btf_allowlist_d_path in kernel/trace/bpf_trace.c), of those here.
constexpr std::array kPathHooks{CHAOS_HOOK_FILE_OPEN, CHAOS_HOOK_FILE_PERMISSION, CHAOS_HOOK_INODE_GETATTR};

}  // namespace

std::span<const SyscallInfo> syscall_table() { return kTable; }

const SyscallInfo* find_syscall(std::string_view name) {
  const auto found = std::ranges::find(kTable, name, &SyscallInfo::name);
  return found == kTable.end() ? nullptr : &*found;
}

std::string_view to_string(SyscallGroup group) {
  switch (group) {
    case kFile:
      return "file";
    case kNetwork:
      return "network";
    case kProcess:
      return "process";
    case kMemory:
      return "memory";
  }
  return "unknown";
}

std::string_view to_string(chaos_syscall_hook hook) { return kHookNames[hook]; }

std::string function_of(chaos_syscall_hook hook) {
  // The one function that is not named as its hook is.
  if (hook == CHAOS_HOOK_BPRM_CHECK_SECURITY) return "security_bprm_check";
  return "security_" + std::string(to_string(hook));
}

std::string function_of(const SyscallInfo& call) { return "__x64_sys_" + std::string(call.entry); }

bool knows_path(chaos_syscall_hook hook) { return contains(kPathHooks, hook); }

}  // namespace chaos
