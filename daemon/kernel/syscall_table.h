// SyscallTable: the system calls that can be failed, by name: their number, what their arguments are, the hooks that
// they pass in the kernel. Numbers are those of x86-64. Constant data; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "bpf/syscall_abi.h"

namespace chaos {

/// What users name many calls by.
enum class SyscallGroup { kFile, kNetwork, kProcess, kMemory };

struct SyscallInfo {
  std::string_view name;  ///< as strace(1) says it
  SyscallGroup group;
  unsigned number = 0;
  /// Of the kernel's function, behind "__x64_sys_"; empty: no call of its own (what io_uring does).
  std::string_view entry{};
  bool has_fd = false;      ///< its first argument is a descriptor
  bool has_size = false;    ///< its third is the size of a buffer
  bool named_only = false;  ///< no group has it: a program that it fails for seldom lives
  /// Security hooks, of which it passes exactly one each time; which, may depend on the kernel.
  std::span<const chaos_syscall_hook> security{};
  std::span<const chaos_syscall_hook> cgroup{};  ///< of which it passes one each time
};

[[nodiscard]] std::span<const SyscallInfo> syscall_table();
/// Null if there is none.
[[nodiscard]] const SyscallInfo* find_syscall(std::string_view name);
[[nodiscard]] std::string_view to_string(SyscallGroup group);

/// "file_open"; "entry" for that of the call itself. What programs are named by.
[[nodiscard]] std::string_view to_string(chaos_syscall_hook hook);
/// The kernel's function that asks all security modules there: "security_file_open".
[[nodiscard]] std::string function_of(chaos_syscall_hook hook);
/// The kernel's function for the call: "__x64_sys_fsync".
[[nodiscard]] std::string function_of(const SyscallInfo& call);
/// The hook is told a path there.
[[nodiscard]] bool knows_path(chaos_syscall_hook hook);

}  // namespace chaos
