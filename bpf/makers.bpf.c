// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Who makes sockets: marks those that tracked processes make, and tracks what these fork. Attached only while a fault
 * is narrowed to processes. */
#include "maps.bpf.h"
#include <bpf/bpf_tracing.h>

struct signal_struct {
	struct {
		int counter;
	} live;
} __attribute__((preserve_access_index));

struct task_struct {
	int tgid;
	struct signal_struct *signal;
} __attribute__((preserve_access_index));

SEC("cgroup/sock_create")
int chaos_socket_made(struct bpf_sock *sk)
{
	__u32 process = bpf_get_current_pid_tgid() >> 32;
	struct chaos_maker *maker;

	if (!bpf_map_lookup_elem(&processes, &process))
		return 1;
	maker = bpf_sk_storage_get(&makers, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (maker)
		maker->process = process;
	return 1;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(chaos_forked, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid;
	__u32 to = child->tgid;
	__u64 *found = bpf_map_lookup_elem(&processes, &from);
	__u64 faults;

	/* The same: a thread. */
	if (!found || from == to)
		return 0;
	faults = *found;
	bpf_map_update_elem(&processes, &to, &faults, BPF_ANY);
	return 0;
}

/* The number of a process that has ended may become another's. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(chaos_exited, struct task_struct *task)
{
	__u32 process = task->tgid;

	if (!task->signal->live.counter)
		bpf_map_delete_elem(&processes, &process);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
