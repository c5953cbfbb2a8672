// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Silences a fault on system calls when the daemon ends, however that happens: before the kernel comes to closing the
 * daemon's descriptors, of which each takes its time. */
#include "syscall.bpf.h"
#include <bpf/bpf_tracing.h>

SEC("tp_btf/sched_process_exit")
int BPF_PROG(daemon_exited, struct task_struct *task)
{
	__u32 zero = 0;
	struct chaos_syscall_rule *rule = bpf_map_lookup_elem(&syscall_rule, &zero);

	/* The last of its threads. */
	if (rule && task->tgid == (int)rule->spared_processes[0] && !task->signal->live.counter)
		*(volatile __u32 *)&rule->active = 0;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
