// SPDX-License-Identifier: GPL-2.0 OR MIT
/* System calls failed at their entry, before anything is done: one load for each call, attached to the kernel's
 * function for it. Either the program decides what that function returns (fmod_ret), or a kprobe does
 * (bpf_override_return). */
#include "syscall.bpf.h"
#include <bpf/bpf_tracing.h>

static __always_inline __u32 judge(void)
{
	struct judged j = {};

	return is_meant(&j, CHAOS_HOOK_ENTRY, NUMBER_IO_URING_ENTER) && !j.rule->path_form ? verdict(&j, false) : 0;
}

/* long: of an int the kernel would take the upper half for zero, and the caller would get no error but a number. */
SEC("fmod_ret/__x64_sys_fsync")
long fail_entry(unsigned long long *ctx)
{
	return -(long)judge();
}

SEC("kprobe/__x64_sys_fsync")
int override_entry(struct pt_regs *ctx)
{
	__u32 error = judge();

	if (error)
		bpf_override_return(ctx, -(long)error);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
