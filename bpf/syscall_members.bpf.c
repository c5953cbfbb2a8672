// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Keeps the table of a fault's processes: what they fork comes in, what has ended goes. Attached only while a fault is
 * narrowed to processes. */
#include "syscall.bpf.h"
#include <bpf/bpf_tracing.h>

SEC("tp_btf/sched_process_fork")
int BPF_PROG(member_forked, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid;
	__u32 to = child->tgid;
	__u32 one = 1;

	/* The same: a thread. */
	if (from != to && bpf_map_lookup_elem(&syscall_members, &from))
		bpf_map_update_elem(&syscall_members, &to, &one, BPF_ANY);
	return 0;
}

/* The number of a process that has ended may become another's. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(member_exited, struct task_struct *task)
{
	__u32 process = task->tgid;

	if (!task->signal->live.counter)
		bpf_map_delete_elem(&syscall_members, &process);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
