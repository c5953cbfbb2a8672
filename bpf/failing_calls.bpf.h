/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What programs that fail system calls and programs that watch them have in common. */
#pragma once

#include "kernel_types.bpf.h"
#include "telemetry_abi.h"

/* Calls that a fault has just failed, for who watches their ends: task → call << 32 | errno. Shared. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CHAOS_FAILING_CALLS);
	__type(key, __u64);
	__type(value, __u64);
} failing_calls SEC(".maps");

struct thread_info {
	__u32 status; /* x86: how the task came into the kernel */
} __attribute__((preserve_access_index));

#define ENTRY_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: TS_COMPAT */
