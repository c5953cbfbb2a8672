// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Watches the system calls of a target while somebody asks: how many, how they end, how long they take. Changes
 * nothing. Every call of every process on the host passes here meanwhile, so whose it is comes first.
 *
 * A kernel that preempts its tracepoints leaves a program out while a task that was put aside inside it waits on the
 * same CPU. There each program has a relief, which does the work if it was not done: the start of the call, which lies
 * with the task, tells. Both count in the same place, one of them in the middle of the other: atomically. */
#include "failing_calls.bpf.h"
#include "histogram.bpf.h"
#include "telemetry.bpf.h"

const volatile __u8 follows_processes = 0; /* narrowed to processes, and not to cgroups */

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct chaos_call_start);
} call_starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, CHAOS_OTHER_SYSCALLS + 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct chaos_call_counts);
} call_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, CHAOS_WATCHED_ERRNOS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct chaos_call_error);
	__type(value, __u64);
} call_errors SEC(".maps");

/* Zeros, which are too many for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct chaos_call_counts);
} no_counts SEC(".maps");

/* Thread group ids. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHAOS_MAX_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} watched_processes SEC(".maps");

struct signal_struct {
	struct {
		int counter;
	} live;
} __attribute__((preserve_access_index));

struct task_struct {
	struct thread_info thread_info;
	int tgid;
	struct signal_struct *signal;
} __attribute__((preserve_access_index));

#define X32_BIT 0x40000000UL
#define MOST_ERRNO 4095 /* include/linux/err.h */

static __always_inline bool is_caller_meant(struct task_struct *task)
{
	const struct chaos_scope *scope;
	__u32 process = task->tgid;
	__u32 count;

	if (follows_processes)
		return bpf_map_lookup_elem(&watched_processes, &process);
	scope = scope_page();
	if (!scope)
		return false;
	count = *(volatile const __u32 *)&scope->count;
	for (__u32 i = 0; i < CHAOS_SCOPE_CGROUPS; i++) {
		if (i >= count)
			return false;
		if (bpf_get_current_ancestor_cgroup_id((int)scope->cgroups[i].level) == scope->cgroups[i].id)
			return true;
	}
	return false;
}

static __always_inline int begin_call(__u64 *ctx, bool relief)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct chaos_call_start *start;
	__u64 number = ctx[1];

	if (!is_caller_meant(task))
		return 0;
	start = bpf_task_storage_get(&call_starts, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!start || (relief && start->started_ns))
		return 0;
	if (task->thread_info.status & ENTRY_COMPAT || number & X32_BIT || number > CHAOS_OTHER_SYSCALLS)
		number = CHAOS_OTHER_SYSCALLS;
	start->number = (__u32)number;
	start->started_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sys_enter")
int watch_call(__u64 *ctx)
{
	return begin_call(ctx, false);
}

SEC("tp_btf/sys_enter")
int relieve_call(__u64 *ctx)
{
	return begin_call(ctx, true);
}

static __always_inline void add(__u64 *counter, __u64 value)
{
	__sync_fetch_and_add(counter, value);
}

static __always_inline struct chaos_call_counts *counts_of(__u32 number)
{
	struct chaos_call_counts *counts = bpf_map_lookup_elem(&call_counts, &number);
	struct chaos_call_counts *zeros;
	__u32 zero = 0;

	if (counts)
		return counts;
	zeros = bpf_map_lookup_elem(&no_counts, &zero);
	if (!zeros)
		return NULL;
	bpf_map_update_elem(&call_counts, &number, zeros, BPF_NOEXIST);
	return bpf_map_lookup_elem(&call_counts, &number);
}

/* A fault of ours has failed this call, with this errno. */
static __always_inline bool is_injected(struct task_struct *task, __u32 number, __u32 error)
{
	__u64 caller = (__u64)task;
	__u64 *failing = bpf_map_lookup_elem(&failing_calls, &caller);
	bool is;

	if (!failing)
		return false;
	is = *failing == ((__u64)number << 32 | error);
	bpf_map_delete_elem(&failing_calls, &caller);
	return is;
}

static __always_inline void count_error(struct chaos_call_counts *counts, struct task_struct *task, __u32 number,
					__u32 error)
{
	bool injected = is_injected(task, number, error);
	struct chaos_call_error key = {.number = number, .error = (__u16)error, .injected = injected};
	__u64 *count = bpf_map_lookup_elem(&call_errors, &key);
	__u64 one = 1;

	add(&counts->errors, 1);
	if (injected)
		add(&counts->injected, 1);
	if (count) {
		add(count, 1);
		return;
	}
	/* Another CPU may have made the entry meanwhile: with a 0 for this one. */
	if (bpf_map_update_elem(&call_errors, &key, &one, BPF_NOEXIST)) {
		count = bpf_map_lookup_elem(&call_errors, &key);
		if (count)
			add(count, 1);
	}
}

static __always_inline int end_call(__u64 *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct chaos_call_start *start = bpf_task_storage_get(&call_starts, task, NULL, 0);
	__s64 result = (__s64)ctx[1];
	struct chaos_call_counts *counts;
	__u64 took_ns;
	__u32 bucket;

	/* It began before anybody watched, or is not meant. */
	if (!start || !start->started_ns)
		return 0;
	took_ns = bpf_ktime_get_ns() - start->started_ns;
	start->started_ns = 0;
	counts = counts_of(start->number);
	if (!counts)
		return 0;
	add(&counts->calls, 1);
	add(&counts->sum_ns, took_ns);
	bucket = bucket_of(took_ns);
	if (bucket >= CHAOS_LATENCY_BUCKETS)
		bucket = CHAOS_LATENCY_BUCKETS - 1;
	add(&counts->latency[bucket], 1);
	if (result < 0 && result >= -MOST_ERRNO)
		count_error(counts, task, start->number, (__u32)-result);
	return 0;
}

SEC("tp_btf/sys_exit")
int watch_return(__u64 *ctx)
{
	return end_call(ctx);
}

SEC("tp_btf/sys_exit")
int relieve_return(__u64 *ctx)
{
	return end_call(ctx);
}

SEC("tp_btf/sched_process_fork")
int watch_fork(__u64 *ctx)
{
	struct task_struct *parent = (struct task_struct *)ctx[0];
	struct task_struct *child = (struct task_struct *)ctx[1];
	__u32 from = BPF_CORE_READ(parent, tgid);
	__u32 to = BPF_CORE_READ(child, tgid);
	__u32 one = 1;

	/* The same: a thread. */
	if (from != to && bpf_map_lookup_elem(&watched_processes, &from))
		bpf_map_update_elem(&watched_processes, &to, &one, BPF_ANY);
	return 0;
}

/* The number of a process that has ended may become another's. */
SEC("tp_btf/sched_process_exit")
int watch_end(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	__u32 process = BPF_CORE_READ(task, tgid);

	if (!BPF_CORE_READ(task, signal, live.counter))
		bpf_map_delete_elem(&watched_processes, &process);
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
