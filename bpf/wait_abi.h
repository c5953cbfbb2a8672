/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What calls that are made to wait share with the daemon, and with the process that ends their waits. Each such fault
 * has maps of its own. Plain C for both sides.
 *
 * BPF has no call that sleeps. A sleepable program may read another process's memory, though, and waits for the page
 * then: the holder has mapped a file of a FUSE file system, a page for each wait that there may be at a time, and the
 * wait server answers a request for such a page when the wait is over. It answers with an error, so that the page is
 * asked for again next time. */
#pragma once

#include "chaos_abi.h"

#define CHAOS_WAITS 1024 /* at a time, at most */
#define CHAOS_WAIT_WORDS (CHAOS_WAITS / 64)
#define CHAOS_WAIT_PAGE 4096
#define CHAOS_WAIT_COPIES 24 /* of the program that waits at entries, at most; see syscall_wait.bpf.c */
#define CHAOS_TIME_FINE_BITS 5
#define CHAOS_TIME_BUCKETS ((42 - CHAOS_TIME_FINE_BITS + 1) << CHAOS_TIME_FINE_BITS)

enum chaos_wait_outcome {
	CHAOS_WAIT_UNSEEN = 0, /* its request has come to nobody */
	CHAOS_WAIT_HELD = 1,   /* the server has it */
	CHAOS_WAIT_OVER = 2,   /* it has had its time */
	CHAOS_WAIT_CUT = 3,    /* the fault ended before */
};

/* One wait. The program writes the first fields before it asks for the page, the server the last ones before it
 * answers. */
struct chaos_wait {
	__u64 number;	  /* of the call */
	__u64 started_ns; /* CLOCK_MONOTONIC */
	__u64 requested_ns;
	__u32 outcome;
	__u32 pad32;
	__u64 pad[4];
};

struct chaos_waiting {
	/* Written by the daemon before the fault is active. */
	__u64 pages;  /* where the holder has the file */
	__u32 holder; /* its process; 0: there is none, nobody waits */
	__u32 limit;  /* at most so many at a time */
	/* Set by the daemon when the fault ends, before it wakes the server. */
	__u32 released;
	__u32 tickets; /* calls that are on their way from the decision to the wait */
	__u32 waiting;
	__u32 pad32;
	__u64 cut; /* waits that ended before their time */
	__u64 pad[3];
	__u64 taken[CHAOS_WAIT_WORDS]; /* a bit for each wait; those from `limit` on are set for good */
};

/* As the daemon's Histogram has them. */
struct chaos_wait_times {
	__u64 requested[CHAOS_TIME_BUCKETS];
	__u64 achieved[CHAOS_TIME_BUCKETS];
	__u64 late[CHAOS_TIME_BUCKETS]; /* achieved less requested */
};

/* The histogram's bucket of a time: what is left when all but the upper six bits are cut off, with how many those were
 * above it. */
static inline __u32 chaos_time_bucket(__u64 time_ns)
{
	__u32 shift = 0;
	__u32 bucket;

	for (__u32 step = 32; step; step >>= 1) {
		if (time_ns >> (step + CHAOS_TIME_FINE_BITS)) {
			time_ns >>= step;
			shift += step;
		}
	}
	bucket = (shift << CHAOS_TIME_FINE_BITS) + (__u32)time_ns;
	return bucket < CHAOS_TIME_BUCKETS ? bucket : CHAOS_TIME_BUCKETS - 1;
}

CHAOS_ASSERT_SIZE(chaos_wait, 64);
CHAOS_ASSERT_SIZE(chaos_waiting, 64 + 8 * CHAOS_WAIT_WORDS);
CHAOS_ASSERT_SIZE(chaos_wait_times, 3 * 8 * CHAOS_TIME_BUCKETS);
