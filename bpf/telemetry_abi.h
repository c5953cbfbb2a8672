/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the programs that only watch share with the daemon: whose events are counted, and the counts. Each set of
 * programs has maps of its own. Plain C for both sides. */
#pragma once

#include "chaos_abi.h"

/* Reasons of enum skb_drop_reason by number; those of a subsystem (number in the upper half) together. */
#define CHAOS_DROP_REASONS 256
#define CHAOS_DROP_SUBSYSTEMS 224 /* that of subsystem n: this + n; beyond the core's own */
#define CHAOS_SCOPE_CGROUPS 16
#define CHAOS_DEVICE_PREFIX 12 /* of base/instance.h: "chaosd-TAG-" */

/* Log-linear: exact below 8, then eight buckets for each power of two, so that each is at most an eighth of its value
 * wide. */
#define CHAOS_RTT_BUCKETS 240	  /* of all 32-bit numbers: microseconds */
#define CHAOS_LATENCY_BUCKETS 304 /* of all 40-bit numbers: nanoseconds */

enum chaos_drop_origin {
	CHAOS_DROP_NATURAL = 0,
	CHAOS_DROP_INJECTED = 1,   /* a fault of this chaosd took it */
	CHAOS_DROP_DELAY_LINE = 2, /* at a device of this chaosd: its queue was full, or nothing announced it */
	CHAOS_DROP_ORIGINS
};

struct chaos_scope_cgroup {
	__u64 id;
	__u32 level;
	__u32 pad;
};

enum chaos_scope_kind { CHAOS_SCOPE_HOST = 0, CHAOS_SCOPE_CGROUPS_ONLY = 1 };

/* Written by user space at any time: ids first, then the count. */
struct chaos_scope {
	__u32 narrowed; /* chaos_scope_kind */
	__u32 count;
	struct chaos_scope_cgroup cgroups[CHAOS_SCOPE_CGROUPS];
};

/* Per CPU. The kernel never runs a program within itself on one CPU (it counts such a miss), so plainly. */
struct chaos_net_counts {
	__u64 drops[CHAOS_DROP_ORIGINS][CHAOS_DROP_REASONS];
	__u64 drops_unowned[CHAOS_DROP_ORIGINS]; /* narrowed: no socket is known of them */
	__u64 oom_kills;
	__u64 next_fragment; /* of the packet dropped last: the program's own */
	__u64 retransmits;
	__u64 retransmitted_segments;
	__u64 retransmitted_syns; /* of retransmits */
	__u64 retransmitted_synacks;
	__u64 resets_sent;
	__u64 resets_received;
	__u64 resets_unowned;
	__u64 rtt_sum_us;
	__u64 rtt[CHAOS_RTT_BUCKETS];
};

#define CHAOS_WATCHED_ERRNOS 4096 /* kinds of errors that are told apart: call, errno, origin */
#define CHAOS_OTHER_SYSCALLS 511  /* 32-bit and x32 programs' calls, whose numbers mean others */
#define CHAOS_FAILING_CALLS 4096

/* Per CPU and system call: calls that have returned. */
struct chaos_call_counts {
	__u64 calls;
	__u64 errors;
	__u64 injected; /* of errors */
	__u64 sum_ns;
	__u64 latency[CHAOS_LATENCY_BUCKETS];
};

struct chaos_call_error {
	__u32 number;
	__u16 error;
	__u16 injected;
};

/* A call under way. */
struct chaos_call_start {
	__u64 started_ns; /* CLOCK_MONOTONIC; 0: none */
	__u32 number;
	__u32 pad;
};

CHAOS_ASSERT_SIZE(chaos_scope, 8 + 16 * CHAOS_SCOPE_CGROUPS);
CHAOS_ASSERT_SIZE(chaos_net_counts, 3 * 256 * 8 + 13 * 8 + 240 * 8);
CHAOS_ASSERT_SIZE(chaos_call_counts, 32 + 304 * 8);
CHAOS_ASSERT_SIZE(chaos_call_error, 8);
CHAOS_ASSERT_SIZE(chaos_call_start, 16);
