/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The gate: what every fault passes before it acts. Order: armed, lease, deadline, (target match,) protected list,
 * decision, budget; each outcome is counted once. Everything fails open: a failed lookup means no fault. */
#pragma once

#include "control.bpf.h"

/* The rules while faults may act, else NULL: an emergency stop silences everything here, uncounted. */
static __always_inline const struct chaos_rules *gate_open(void)
{
	__u32 zero = 0;
	const struct chaos_rules *page = bpf_map_lookup_elem(&rules, &zero);

	return page && *(volatile const __u32 *)&page->control.armed ? page : NULL;
}

/* The lease is read by the coarse clock, which the timer tick moves (every 1 to 10 ms) and which costs a seventh of the
 * exact one; or by that, in programs that may not ask the coarse one. */
#ifndef GATE_CLOCK_NS
#define GATE_CLOCK_NS bpf_ktime_get_coarse_ns
#endif

/* True once the daemon has stopped renewing its lease, or the fault has run its time. */
static __always_inline bool gate_expired(const struct chaos_control *control, const struct chaos_fault *fault)
{
	return GATE_CLOCK_NS() > *(volatile const __u64 *)&control->lease_until_ns ||
	       bpf_ktime_get_boot_ns() > fault->deadline_boot_ns;
}

/* The same for packets, of which many come within a tick: the deadline is read by the tick as well as the lease. */
static __always_inline bool gate_expired_at(const struct chaos_control *control, const struct chaos_fault *fault,
					    struct chaos_tick *tick)
{
	__u64 now = bpf_ktime_get_coarse_ns();

	if (now > *(volatile const __u64 *)&control->lease_until_ns)
		return true;
	if (tick->coarse_ns != now) {
		tick->boot_ns = bpf_ktime_get_boot_ns();
		tick->coarse_ns = now;
	}
	return tick->boot_ns > fault->deadline_boot_ns;
}

/* Takes one event from the fault's budget. Exact under concurrency: the counter may run past the budget, no event does.
 */
static __always_inline bool gate_budget(__u32 index, const struct chaos_fault *fault)
{
	struct chaos_budget *budget;

	if (!fault->max_events)
		return true;
	budget = bpf_map_lookup_elem(&budgets, &index);
	return budget && __sync_fetch_and_add(&budget->spent, 1) < fault->max_events;
}

/* Index of the lowest set bit of a non-zero mask, by halving: clang 16 cannot compile __builtin_ctzll for BPF.
 * A global function, so that its branches do not multiply the verifier's paths. */
__noinline __u32 lowest_bit(__u64 mask)
{
	__u32 index = 0;

	if (!(mask & 0xffffffffULL)) {
		index += 32;
		mask >>= 32;
	}
	if (!(mask & 0xffff)) {
		index += 16;
		mask >>= 16;
	}
	if (!(mask & 0xff)) {
		index += 8;
		mask >>= 8;
	}
	if (!(mask & 0xf)) {
		index += 4;
		mask >>= 4;
	}
	if (!(mask & 0x3)) {
		index += 2;
		mask >>= 2;
	}
	return index + !(mask & 1);
}
