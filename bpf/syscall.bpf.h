/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* One fault on system calls: whose call is it, which one, and does it fail? The same for every mechanism: what they
 * have in common is the task that calls and the registers that it came into the kernel with.
 *
 * The maps are the fault's own, made by the daemon, but for `rules`. */
#pragma once

#define GATE_CLOCK_NS bpf_ktime_get_ns /* hooks of socket options have no other */

#include "control.bpf.h"
#include "failing_calls.bpf.h"
#include "gate.bpf.h"
#include "mix.bpf.h"
#include "syscall_abi.h"
#include <bpf/bpf_core_read.h>

CHAOS_ARRAY(syscall_rule, struct chaos_syscall_rule, 1);
CHAOS_ARRAY(syscall_state, struct chaos_syscall_state, 1);
CHAOS_ARRAY(syscall_tallies, struct chaos_syscall_tally, 1); /* created with one for each possible CPU */
CHAOS_ARRAY(syscall_outcomes, struct chaos_syscall_outcomes, 1);

/* Thread group ids. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHAOS_MAX_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} syscall_members SEC(".maps");

typedef struct {
	__u32 val;
} __attribute__((preserve_access_index)) kuid_t;

struct cred {
	kuid_t euid;
} __attribute__((preserve_access_index));

struct ns_common {
	__u32 inum;
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
} __attribute__((preserve_access_index));

struct nsproxy {
	struct net *net_ns;
} __attribute__((preserve_access_index));

struct inode {
	unsigned short i_mode;
} __attribute__((preserve_access_index));

struct path {
	void *mnt;
} __attribute__((preserve_access_index));

struct file {
	struct path f_path;
	struct inode *f_inode;
} __attribute__((preserve_access_index));

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} __attribute__((preserve_access_index));

struct files_struct {
	struct fdtable *fdt;
} __attribute__((preserve_access_index));

struct signal_struct {
	struct {
		int counter;
	} live;
} __attribute__((preserve_access_index));

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int tgid;
	struct task_struct *group_leader;
	const struct cred *real_cred;
	const struct cred *cred;
	char comm[CHAOS_NAME_SIZE];
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
} __attribute__((preserve_access_index));

/* x86-64; the daemon looks for no others yet. */
struct pt_regs___entry {
	unsigned long orig_ax;
	unsigned long di;
	unsigned long dx;
} __attribute__((preserve_access_index));

#define TASK_IO_WORKER 0x00000010 /* include/linux/sched.h: PF_IO_WORKER */
#define TASK_KERNEL 0x00200000	  /* PF_KTHREAD */
#define X32_BIT 0x40000000UL
#define NUMBER_IO_URING_ENTER 426
#define NO_NUMBER 0xffffU
#define INODE_TYPE(mode) (((mode) >> 12) & 0xf)
#define MAY_WRITE 2

/* A call on its way through the fault. */
struct judged {
	struct task_struct *task;
	const struct chaos_syscall_rule *rule;
	struct chaos_syscall_tally *tally;
	__u32 number;
};

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* Which call the task is in. Numbers of 32-bit and x32 programs mean others: they are left alone. `io_uring`: what the
 * hook takes a request of a ring for. */
static __always_inline __u32 call_number(struct task_struct *task, const struct pt_regs___entry *regs, __u32 io_uring)
{
	unsigned long number;

	if (task->flags & TASK_IO_WORKER)
		return io_uring;
	if (task->thread_info.status & ENTRY_COMPAT)
		return NO_NUMBER;
	number = BPF_CORE_READ(regs, orig_ax);
	if (number == NUMBER_IO_URING_ENTER)
		return io_uring;
	return number & X32_BIT || number >= CHAOS_IO_URING_READ ? NO_NUMBER : (__u32)number;
}

static __always_inline bool is_caller_in_cgroup(const struct chaos_syscall_rule *rule)
{
	__u32 count_of = *(volatile const __u32 *)&rule->cgroup_count;

	for (__u32 i = 0; i < CHAOS_SYSCALL_CGROUPS; i++) {
		if (i >= count_of)
			return false;
		if (bpf_get_current_ancestor_cgroup_id((int)rule->cgroups[i].level) == rule->cgroups[i].id)
			return true;
	}
	return false;
}

static __always_inline bool is_meant_user(const struct chaos_syscall_rule *rule, struct task_struct *task)
{
	__u32 uid = task->cred->euid.val;

	for (__u32 i = 0; i < CHAOS_SYSCALL_UIDS; i++) {
		if (i >= rule->uid_count)
			return false;
		if (rule->uids[i] == uid)
			return true;
	}
	return false;
}

static __always_inline bool is_meant_caller(const struct chaos_syscall_rule *rule, struct task_struct *task)
{
	if (rule->caller == CHAOS_CALLER_CGROUP && !is_caller_in_cgroup(rule))
		return false;
	if (rule->caller == CHAOS_CALLER_PROCESS) {
		__u32 process = task->tgid;

		if (!bpf_map_lookup_elem(&syscall_members, &process))
			return false;
	}
	if (rule->uid_count && !is_meant_user(rule, task))
		return false;
	return !rule->netns || BPF_CORE_READ(task, nsproxy, net_ns, ns.inum) == rule->netns;
}

/* Type of what the call's first argument is open at. */
static __noinline __u32 fd_type_bit(struct task_struct *task, unsigned long fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds) || bpf_probe_read_kernel(&file, sizeof(file), &files[fd]) || !file)
		return 0;
	return 1U << INODE_TYPE(BPF_CORE_READ(file, f_inode, i_mode));
}

/* Fills `j`; false if the call is none of this fault's. Counts it as evaluated. */
static __always_inline bool is_meant(struct judged *j, enum chaos_syscall_hook hook, __u32 io_uring)
{
	const struct chaos_syscall_rule *rule;
	const struct pt_regs___entry *regs;
	struct task_struct *task;
	__u32 zero = 0;
	__u32 cpu;

	rule = bpf_map_lookup_elem(&syscall_rule, &zero);
	if (!rule || !*(volatile const __u32 *)&rule->active || !gate_open())
		return false;
	cpu = bpf_get_smp_processor_id();
	j->tally = bpf_map_lookup_elem(&syscall_tallies, &cpu);
	if (!j->tally)
		return false;
	count(&j->tally->evaluated);
	j->rule = rule;
	task = bpf_get_current_task_btf();
	j->task = task;
	/* First, for it is what all the others' calls come to. */
	if (!is_meant_caller(rule, j->task))
		return false;
	/* With another's credentials: a file system (overlayfs) works for a call that has passed its hook already. */
	if (hook != CHAOS_HOOK_ENTRY && BPF_CORE_READ(task, cred) != BPF_CORE_READ(task, real_cred))
		return false;
	regs = (const struct pt_regs___entry *)bpf_task_pt_regs(j->task);
	j->number = call_number(j->task, regs, io_uring);
	if (j->number >= CHAOS_SYSCALL_NUMBERS || !(rule->numbers[hook][j->number >> 6] >> (j->number & 63) & 1))
		return false;
	if (rule->min_size && BPF_CORE_READ(regs, dx) < rule->min_size)
		return false;
	return !rule->fd_types || rule->fd_types & fd_type_bit(j->task, (__u32)BPF_CORE_READ(regs, di));
}

/* Init, kernel threads, chaosd and its guardian, and by name what people log in with and what keeps the journal. */
static __always_inline bool is_spared(const struct chaos_syscall_rule *rule, struct task_struct *task)
{
	__u32 process = task->tgid;
	__u64 name[CHAOS_NAME_SIZE / 8] = {};

	if (process == 1 || task->flags & TASK_KERNEL)
		return true;
	for (__u32 i = 0; i < CHAOS_SPARED_PROCESSES; i++) {
		if (rule->spared_processes[i] == process)
			return true;
	}
	bpf_probe_read_kernel_str(name, sizeof(name), task->group_leader->comm);
	for (__u32 i = 0; i < CHAOS_SPARED_NAMES; i++) {
		const __u64 *spared = (const __u64 *)rule->spared_names[i];

		if (spared[0] && spared[0] == name[0] && spared[1] == name[1])
			return true;
	}
	return false;
}

static __always_inline __u64 take_call_number(void)
{
	__u32 zero = 0;
	struct chaos_syscall_state *state = bpf_map_lookup_elem(&syscall_state, &zero);

	return state ? __sync_fetch_and_add(&state->next, 1) : 0;
}

/* By the seed and the call's number alone, so that neither threads nor CPUs change how many fail. */
static __always_inline bool decide_call(const struct chaos_syscall_rule *rule, __u64 number)
{
	if (rule->first && number >= rule->first)
		return false;
	if (rule->every)
		return number % rule->every == rule->every - 1;
	if (rule->fault.threshold >= 1ULL << 32)
		return true;
	return mix64(mix64(rule->fault.seed) + number * GOLDEN64) >> 32 < rule->fault.threshold;
}

/* Only while somebody watches. */
static __always_inline void tell_failing(const struct judged *j, __u32 error)
{
	const struct chaos_rules *page = gate_open();
	__u64 caller = (__u64)j->task;
	__u64 what = (__u64)j->number << 32 | error;

	if (page && *(volatile const __u32 *)&page->control.watch_calls)
		bpf_map_update_elem(&failing_calls, &caller, &what, BPF_ANY);
}

static __always_inline __u32 choose_errno(const struct judged *j, __u64 number)
{
	__u32 hash = mix64(mix64(j->rule->fault.seed + GOLDEN64) + number * GOLDEN64) >> 32;
	__u32 zero = 0;
	struct chaos_syscall_outcomes *outcomes = bpf_map_lookup_elem(&syscall_outcomes, &zero);

	for (__u32 i = 0; i < CHAOS_SYSCALL_ERRNOS; i++) {
		if (i + 1 < j->rule->errno_count && !happens(hash, j->rule->errnos[i].up_to))
			continue;
		if (outcomes && j->number < CHAOS_SYSCALL_NUMBERS)
			count(&outcomes->injected[j->number][i]);
		tell_failing(j, j->rule->errnos[i].number);
		return j->rule->errnos[i].number;
	}
	return 0;
}

/* Whether a call that is meant is one of those that it shall happen to; counts those that it shall not. `number`: its
 * own. */
static __always_inline bool is_chosen(const struct judged *j, __u64 *number)
{
	const struct chaos_syscall_rule *rule = j->rule;
	const struct chaos_rules *page = gate_open();
	struct chaos_counters *counters = &j->tally->counters;

	if (!page)
		return false;
	if (gate_expired(&page->control, &rule->fault)) {
		count(&counters->spared_expired);
		return false;
	}
	if (is_spared(rule, j->task)) {
		count(&counters->spared_protected);
		return false;
	}
	*number = take_call_number();
	if (decide_call(rule, *number))
		return true;
	count(&counters->not_sampled);
	return false;
}

/* Takes a chosen call from the budget; counts it if that is spent, or if it is only to be counted. */
static __always_inline bool may_happen(const struct judged *j)
{
	struct chaos_counters *counters = &j->tally->counters;

	if (!gate_budget(0, &j->rule->fault)) {
		count(&counters->spared_budget);
		return false;
	}
	if (j->rule->fault.flags & CHAOS_FAULT_SHADOW) {
		count(&counters->shadowed);
		return false;
	}
	return true;
}

/* The errno that a call fails with that is meant; 0: it goes on. `failing`: it does so already by another hook. */
static __always_inline __u32 verdict(const struct judged *j, bool failing)
{
	struct chaos_counters *counters = &j->tally->counters;
	__u64 number = 0;

	if (!is_chosen(j, &number) || !may_happen(j))
		return 0;
	count(&counters->injected);
	if (failing)
		count(&counters->injected_jointly);
	return choose_errno(j, number);
}
