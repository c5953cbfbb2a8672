// What a kernel lets programs do, found by loading one that does nothing. Needs CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN.
// Blocks for some ms; any thread.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace chaos::probe {

/// Loads `code` for the kernel's function with this number among its types, and, if `attach_too`, attaches it and takes
/// it away again. 0 or an errno; ENOENT: `function` is 0. `flags`: BPF_F_SLEEPABLE or 0.
[[nodiscard]] int try_code(bpf_prog_type type, bpf_attach_type attach, unsigned function,
                           std::span<const bpf_insn> code, std::uint32_t flags, bool attach_too);
/// The same with a program that returns 0.
[[nodiscard]] int try_function(bpf_prog_type type, bpf_attach_type attach, unsigned function, std::uint32_t flags = 0,
                               bool attach_too = true);
/// True if BPF LSM is switched on: else its programs are attached where nobody calls them.
[[nodiscard]] bool is_lsm_active();
/// A sentence's end that says why not: refused by the host, or `lacking` in the kernel.
[[nodiscard]] std::string why(int err, std::string_view lacking);

inline constexpr const char* kName = "chaos_probe";

}  // namespace chaos::probe
