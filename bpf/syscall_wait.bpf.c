// SPDX-License-Identifier: GPL-2.0 OR MIT
/* System calls that wait before they go on: at those security hooks where a program may sleep and where the kernel
 * holds no lock that others could want, or at the entries of calls.
 *
 * The kernel runs no tracing program anew on a CPU where it is at work already, and one that sleeps is at work. So a
 * wait at an entry is made by three kinds of program that run one after another: the first decides, and leaves the task
 * a ticket; of the many copies of the second, the first that is not at work on this CPU takes the ticket and waits; the
 * last one takes back a ticket that no copy was free for. Programs of security modules have no such limit. */
#include "syscall.bpf.h"
#include "syscall_path.bpf.h"
#include "wait_abi.h"
#include <bpf/bpf_tracing.h>

CHAOS_ARRAY(syscall_waiting, struct chaos_waiting, 1);
CHAOS_ARRAY(syscall_waits, struct chaos_wait, CHAOS_WAITS);
CHAOS_ARRAY(syscall_times, struct chaos_wait_times, 1);

/* Thread → its wait. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHAOS_WAITS * 2);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} syscall_tickets SEC(".maps");

extern struct task_struct *bpf_task_from_pid(__s32 pid) __ksym; /* Linux 6.2 */
extern void bpf_task_release(struct task_struct *task) __ksym;

#define SLOT_TRIES (2 * CHAOS_WAIT_WORDS)
#define NO_SLOT (-1)

static __always_inline struct chaos_waiting *waiting_of_all(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&syscall_waiting, &zero);
}

/* A place to wait in; NO_SLOT: as many wait as may. */
static __always_inline __s32 take_slot(struct chaos_waiting *all, __u64 number)
{
	if (__sync_fetch_and_add(&all->waiting, 1) < all->limit) {
		for (__u32 i = 0; i < SLOT_TRIES; i++) {
			__u32 word = (number + i) & (CHAOS_WAIT_WORDS - 1);
			__u64 taken = *(volatile __u64 *)&all->taken[word];
			__u64 bit;
			__u32 place;

			if (!~taken)
				continue;
			place = lowest_bit(~taken) & 63;
			bit = 1ULL << place;
			if (!(__sync_fetch_and_or(&all->taken[word], bit) & bit))
				return (__s32)(word * 64 + place);
		}
	}
	__sync_fetch_and_add(&all->waiting, -1);
	return NO_SLOT;
}

static __always_inline void give_slot_back(struct chaos_waiting *all, __u32 slot)
{
	__sync_fetch_and_and(&all->taken[slot / 64 & (CHAOS_WAIT_WORDS - 1)], ~(1ULL << (slot & 63)));
	__sync_fetch_and_add(&all->waiting, -1);
}

/* Decides about a call that is meant. A place to wait in, with the call's number in it, or NO_SLOT. */
static __always_inline __s32 admit(const struct judged *j)
{
	struct chaos_waiting *all = waiting_of_all();
	struct chaos_wait *wait;
	__u64 number = 0;
	__s32 slot;

	if (!all || !is_chosen(j, &number))
		return NO_SLOT;
	slot = take_slot(all, number);
	if (slot < 0) {
		count(&j->tally->counters.over_limit);
		return NO_SLOT;
	}
	wait = bpf_map_lookup_elem(&syscall_waits, &slot);
	if (!wait || !may_happen(j)) {
		give_slot_back(all, (__u32)slot);
		return NO_SLOT;
	}
	wait->number = number;
	return slot;
}

static __always_inline void count_time(__u64 *buckets, __u64 time_ns)
{
	__u32 bucket = chaos_time_bucket(time_ns);

	barrier_var(bucket);
	if (bucket < CHAOS_TIME_BUCKETS)
		count(&buckets[bucket]);
}

/* What came of it. A wait that nobody had begun to serve is none. */
static __always_inline void account(struct chaos_waiting *all, struct chaos_counters *counters,
				    const struct chaos_wait *wait)
{
	__u64 achieved = bpf_ktime_get_ns() - wait->started_ns;
	__u32 outcome = *(volatile const __u32 *)&wait->outcome;
	__u64 requested = wait->requested_ns;
	__u32 zero = 0;
	struct chaos_wait_times *times = bpf_map_lookup_elem(&syscall_times, &zero);

	if (outcome == CHAOS_WAIT_UNSEEN) {
		count(&counters->spared_expired);
		return;
	}
	count(&counters->injected);
	if (outcome != CHAOS_WAIT_OVER) {
		count(&all->cut);
		return;
	}
	if (!times)
		return;
	count_time(times->requested, requested);
	count_time(times->achieved, achieved);
	count_time(times->late, achieved > requested ? achieved - requested : 0);
}

/* Waits in the place that the call was given, and gives it back. */
static __noinline int wait_in(__u32 slot)
{
	struct chaos_waiting *all = waiting_of_all();
	struct chaos_wait *wait = bpf_map_lookup_elem(&syscall_waits, &slot);
	__u32 cpu = bpf_get_smp_processor_id();
	struct chaos_syscall_tally *tally = bpf_map_lookup_elem(&syscall_tallies, &cpu);
	struct task_struct *holder;
	__u64 nothing;

	if (!all || !wait || !tally)
		return 0;
	wait->started_ns = bpf_ktime_get_ns();
	wait->requested_ns = 0;
	*(volatile __u32 *)&wait->outcome = CHAOS_WAIT_UNSEEN;
	holder = all->holder ? bpf_task_from_pid((__s32)all->holder) : NULL;
	if (holder) {
		bpf_copy_from_user_task(&nothing, sizeof(nothing),
					(const void *)(all->pages + (__u64)slot * CHAOS_WAIT_PAGE), holder, 0);
		bpf_task_release(holder);
	}
	account(all, &tally->counters, wait);
	give_slot_back(all, slot);
	return 0;
}

static __always_inline int wait_at(enum chaos_syscall_hook hook, struct path *path)
{
	struct judged j = {};
	__s32 slot;

	if (!is_meant(&j, hook, NO_NUMBER))
		return 0;
	if (j.rule->path_form && (!path || !is_meant_path(j.rule, path)))
		return 0;
	slot = admit(&j);
	if (slot >= 0)
		wait_in((__u32)slot);
	return 0;
}

SEC("lsm.s/file_open")
int wait_file_open(unsigned long long *ctx)
{
	return wait_at(CHAOS_HOOK_FILE_OPEN, &((struct file *)ctx[0])->f_path);
}

SEC("lsm.s/inode_getattr")
int wait_inode_getattr(unsigned long long *ctx)
{
	return wait_at(CHAOS_HOOK_INODE_GETATTR, (struct path *)ctx[0]);
}

#define PLAIN_HOOK(name, hook)                                                                                         \
	SEC("lsm.s/" #name) int wait_##name(unsigned long long *ctx)                                                   \
	{                                                                                                              \
		return wait_at(hook, NULL);                                                                            \
	}

PLAIN_HOOK(mmap_file, CHAOS_HOOK_MMAP_FILE)
PLAIN_HOOK(file_ioctl, CHAOS_HOOK_FILE_IOCTL)
PLAIN_HOOK(file_lock, CHAOS_HOOK_FILE_LOCK)
PLAIN_HOOK(path_truncate, CHAOS_HOOK_PATH_TRUNCATE)
PLAIN_HOOK(bprm_check_security, CHAOS_HOOK_BPRM_CHECK_SECURITY)
PLAIN_HOOK(task_alloc, CHAOS_HOOK_TASK_ALLOC)
PLAIN_HOOK(socket_create, CHAOS_HOOK_SOCKET_CREATE)
PLAIN_HOOK(socket_connect, CHAOS_HOOK_SOCKET_CONNECT)
PLAIN_HOOK(socket_bind, CHAOS_HOOK_SOCKET_BIND)
PLAIN_HOOK(socket_listen, CHAOS_HOOK_SOCKET_LISTEN)
PLAIN_HOOK(socket_accept, CHAOS_HOOK_SOCKET_ACCEPT)
PLAIN_HOOK(socket_sendmsg, CHAOS_HOOK_SOCKET_SENDMSG)
PLAIN_HOOK(socket_recvmsg, CHAOS_HOOK_SOCKET_RECVMSG)
PLAIN_HOOK(socket_getsockopt, CHAOS_HOOK_SOCKET_GETSOCKOPT)
PLAIN_HOOK(socket_shutdown, CHAOS_HOOK_SOCKET_SHUTDOWN)

/* The thread's ticket, which it has no longer; NO_SLOT: it had none. */
static __always_inline __s32 take_ticket(struct chaos_waiting *all)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	__u32 *ticket;
	__s32 slot;

	if (!all || !*(volatile __u32 *)&all->tickets)
		return NO_SLOT;
	ticket = bpf_map_lookup_elem(&syscall_tickets, &thread);
	if (!ticket)
		return NO_SLOT;
	slot = (__s32)*ticket;
	if (bpf_map_delete_elem(&syscall_tickets, &thread))
		return NO_SLOT;
	__sync_fetch_and_add(&all->tickets, -1);
	return slot;
}

/* As many wait as can. */
static __always_inline void turn_away(struct chaos_waiting *all)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct chaos_syscall_tally *tally = bpf_map_lookup_elem(&syscall_tallies, &cpu);
	__s32 slot = take_ticket(all);

	if (slot < 0 || !all)
		return;
	give_slot_back(all, (__u32)slot);
	if (tally)
		count(&tally->counters.over_limit);
}

/* Runs first. */
SEC("fmod_ret/__x64_sys_fsync")
long wait_decide(unsigned long long *ctx)
{
	struct chaos_waiting *all = waiting_of_all();
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	struct judged j = {};
	__u32 ticket;
	__s32 slot;

	if (!all || !is_meant(&j, CHAOS_HOOK_ENTRY, NUMBER_IO_URING_ENTER) || j.rule->path_form)
		return 0;
	slot = admit(&j);
	if (slot < 0)
		return 0;
	/* Left over where the last program was left out. */
	turn_away(all);
	ticket = (__u32)slot;
	if (bpf_map_update_elem(&syscall_tickets, &thread, &ticket, BPF_ANY)) {
		give_slot_back(all, ticket);
		count(&j.tally->counters.over_limit);
		return 0;
	}
	__sync_fetch_and_add(&all->tickets, 1);
	return 0;
}

SEC("fmod_ret.s/__x64_sys_fsync")
long wait_entry(unsigned long long *ctx)
{
	__s32 slot = take_ticket(waiting_of_all());

	if (slot >= 0)
		wait_in((__u32)slot);
	return 0;
}

/* Runs last. */
SEC("fmod_ret/__x64_sys_fsync")
long wait_turn_away(unsigned long long *ctx)
{
	turn_away(waiting_of_all());
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
