/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What BPF programs and the daemon share: the control page, faults, slots, counters, keys. Plain C for both sides;
 * fixed-width fields with units in their names, explicit padding, sizes asserted by both compilers.
 *
 * A slot is one attached device or cgroup: entry programs leave (slot << 1 | direction) in cb[CHAOS_CB_WORD] and
 * tail-call the classifier. A fault is one bit (0..63) in every mask. User space writes a fault's masks while its bit
 * in `active` is clear, then sets that bit with one store, so a packet never sees half a rule: it reads `active` once.
 */
#pragma once

#include <linux/types.h>

#define CHAOS_MAX_FAULTS 64
#define CHAOS_MAX_SLOTS 256
#define CHAOS_MAX_PREFIXES 16384
#define CHAOS_FLOW_LINES 8192 /* of CHAOS_FLOW_WAYS flows each */
#define CHAOS_FLOW_WAYS 4
#define CHAOS_MAX_SPILLED_FLOWS 16384 /* beyond the lines */
#define CHAOS_PROTOCOLS 256
#define CHAOS_MAX_CGROUPS 4096	  /* that targets name, over all faults */
#define CHAOS_MAX_PROCESSES 16384 /* that targets name, with their descendants */
#define CHAOS_MAX_UIDS 1024
#define CHAOS_MAX_CGROUP_LEVELS 32 /* below the root; a target may not lie deeper */
#define CHAOS_MAX_PROTECTED_FLOWS 1024
#define CHAOS_MAX_LINES 64	 /* delay lines: one for each network namespace that needs one */
#define CHAOS_LINE_MARKS 4096	 /* packets on their way from a line to a device's ingress, at most */
#define CHAOS_LINE_TYPE_SHIFT 32 /* in what a mark stands for: the packet's type, above its own mark */
#define CHAOS_CB_WORD 4		 /* which word of skb->cb carries slot and direction into the classifier */
#define CHAOS_NO_DEADLINE (~0ULL)

enum chaos_direction { CHAOS_EGRESS = 0, CHAOS_INGRESS = 1 };

/* PROG_ARRAY indexes. There is an array for each type of hook, devices and cgroups; their only user-space fds are
 * chaosd's highest: when chaosd dies the kernel empties them first. */
enum chaos_switch { CHAOS_SWITCH_CLASSIFY = 0, CHAOS_SWITCH_SIZE = 1 };

/* Every program reads it before anything else. */
struct chaos_control {
	__u32 armed;	      /* 0: emergency stop, nothing acts and nothing is counted */
	__u32 protect_peers;  /* 1: the protected prefix trie has entries */
	__u64 lease_until_ns; /* CLOCK_MONOTONIC; past it every fault is silent */
	__u64 active;	      /* bit per fault: rule complete and switched on */
	__u64 any_peer;	      /* faults that are not narrowed by peer */
	__u64 any_remote_port;
	__u64 any_local_port;
	__u64 any_protocol;
	__u32 protect_flows; /* 1: the protected flow table has entries */
	__u32 cgroup_levels; /* bit per depth below the root at which a target's cgroup lies */
	__u64 any_socket;    /* faults that are not narrowed to the sockets of some cgroups or processes */
	__u64 any_process;   /* of these, those that are not narrowed to processes */
	__u64 any_uid;
	__u32 line_secret; /* marks of packets that come back from a line are its, but for the last 12 bits */
	__u32 watch_calls; /* so many want to know which calls are failed */
	__u64 handed_over; /* faults that are narrowed to cgroups, and mean sockets that others made as well */
	__u64 drop_mark;   /* time stamp of packets that are lost here; no clock shows it */
	__u64 pad[2];
};

enum chaos_fault_flags {
	CHAOS_FAULT_SHADOW = 1, /* decide and count, do not act */
	CHAOS_FAULT_HOLD = 2,	/* what it takes goes to the delay line, and not away */
};

/* Which packets a fault takes, of those that match it. */
enum chaos_model {
	CHAOS_MODEL_RANDOM = 0, /* each by itself */
	CHAOS_MODEL_GILBERT =
		1, /* Gilbert and Elliott: a flow is in a good or in a bad state, each with its own loss */
	CHAOS_MODEL_EVERY_NTH = 2, /* of a flow; where the count begins is the seed's choice */
	CHAOS_MODEL_PER_FLOW = 3,  /* at random, of the conversations that the seed chooses */
	CHAOS_MODEL_PER_PEER = 4,  /* at random, of what goes to and comes from the addresses that the seed chooses */
};

/* A probability in 32 bits: an event happens when a 32-bit hash is below. */
#define CHAOS_ALWAYS32 0xffffffffU

/* Of a packet, before it moves on: good to bad, bad to good, and the loss in each. */
struct chaos_gilbert {
	__u32 to_bad;
	__u32 to_good;
	__u32 good_loss;
	__u32 bad_loss;
};

/* Written by user space before the fault is activated; constant while it is active. */
struct chaos_fault {
	__u64 seed;
	/* Act when a 32-bit hash is below: 0 never, 1 << 32 always. Gilbert: a flow begins in the bad state. */
	__u64 threshold;
	__u64 deadline_boot_ns; /* CLOCK_BOOTTIME; a suspended host's fault does not resume */
	__u64 generation;	/* unique per activation: flow numbers start at 0 */
	__u64 max_events;	/* budget; 0: none */
	__u16 flags;
	__u16 refuse_errno; /* calls of the target's are refused with it; 0: calls are left alone */
	__u32 model;
	union {
		struct chaos_gilbert gilbert;
		__u64 every; /* 1 to 2^32 - 1 */
		__u64 share; /* of the conversations or addresses, as threshold */
	} of;
};

/* Exact under concurrency: one atomic per event, on its own cache line. */
struct chaos_budget {
	__u64 spent;
	__u64 pad[7];
};

/* One attached device or cgroup. */
struct chaos_slot {
	__u64 faults[2];    /* by direction */
	__u8 l2_len;	    /* 14 for Ethernet-like devices, 0 for layer-3 devices and cgroups */
	__u8 handed_over;   /* 1: the root cgroup, where only sockets that were handed over are meant */
	__u16 line;	    /* of the device's namespace */
	__u32 line_ifindex; /* that line's TAP; 0: there is none */
};

/* Which ports may be protected: bit (port % CHAOS_PROTECTED_SUMMARY_BITS) of each transport. A clear bit ends the
 * question without another page. */
#define CHAOS_PROTECTED_SUMMARY_BITS 512
enum chaos_transport { CHAOS_TCP = 0, CHAOS_UDP = 1 };

/* What most packets need, side by side: each 4 KiB page that a program touches costs a TLB miss, and where page-table
 * isolation works without PCID every system call empties the TLB. The second page holds the lowest faults, the control
 * words and the lowest slots: the lowest free numbers are the ones that are taken. */
struct chaos_rules {
	__u64 pad[128];
	struct chaos_fault faults_backwards[CHAOS_MAX_FAULTS]; /* fault i at CHAOS_FAULT_AT(i) */
	struct chaos_control control;
	__u64 protected_summary[2][CHAOS_PROTECTED_SUMMARY_BITS / 64]; /* by chaos_transport */
	__u64 protocols[CHAOS_PROTOCOLS];			       /* faults narrowed to this protocol */
	struct chaos_slot slots[CHAOS_MAX_SLOTS];
};
#define CHAOS_FAULT_AT(index) (CHAOS_MAX_FAULTS - 1 - (index))

/* Per CPU and fault, counting up for ever. matched is the sum of the outcomes, derived and never counted on its own. */
struct chaos_counters {
	__u64 injected;
	__u64 shadowed;
	__u64 not_sampled;
	__u64 spared_protected;
	__u64 spared_budget;
	__u64 spared_expired;
	__u64 over_limit;
	__u64 matched_segments;
	__u64 injected_segments;
	__u64 injected_jointly; /* of injected: another fault had taken the packet already; of a fault that holds:
				 * another fault took it, so that it never came to the line */
};

/* The boot clock as it was when the coarse one last moved on: of a tick's packets the first asks for it. */
struct chaos_tick {
	__u64 coarse_ns;
	__u64 boot_ns;
};

/* One per possible CPU, whole pages. As in chaos_rules, the lowest numbers share the second page. */
struct chaos_tally {
	__u64 pad[254];
	__u64 seen_backwards[CHAOS_MAX_SLOTS * 2]; /* skbs while a fault is active there, at CHAOS_SEEN_AT */
	struct chaos_tick tick;
	struct chaos_counters faults[CHAOS_MAX_FAULTS]; /* packets: counted by this CPU only, so plainly */
	struct chaos_counters calls[CHAOS_MAX_FAULTS];	/* calls, which may move between CPUs: by atomics */
};
#define CHAOS_SEEN_AT(slot_direction) (CHAOS_MAX_SLOTS * 2 - 1 - (slot_direction))

/* Longest-prefix key. The family leads, so that ::/0 is every IPv6 address and no IPv4 one; addresses are as in
 * packets: IPv4 as ::ffff:a.b.c.d. prefix_bits counts from the family: 8 + length, for IPv4 8 + 96 + length. */
struct chaos_prefix_key {
	__u32 prefix_bits;
	__u8 family; /* 4 or 6 */
	__u8 address[16];
	__u8 pad[3];
};
#define CHAOS_PREFIX_HOST (8 + 128) /* prefix_bits of a single address */

/* Packets of one flow that one activation of a fault has numbered. `key` is a 64-bit hash of both, never 0 in an entry
 * in use: programs claim an entry by setting it, user space frees those of a generation that has ended. */
struct chaos_flow {
	__u64 key;
	__u32 generation;
	__u32 count; /* with CHAOS_FLOW_BAD, where the model has states */
};
#define CHAOS_FLOW_BAD (1U << 31)

/* One cache line of the flow table. */
struct chaos_flow_line {
	struct chaos_flow ways[CHAOS_FLOW_WAYS];
};

/* Who made a socket. Kept with the socket; what a listener accepts has its listener's. */
struct chaos_maker {
	__u32 process;	   /* thread group id; 0: nobody asked */
	__u32 handed_over; /* a target's cgroup has it from another: its own number, from CHAOS_HANDED_OVER; else 0 */
};
#define CHAOS_HANDED_OVER 0x80000000U /* beyond all thread group ids, whose table has these numbers as well */

#define CHAOS_LINE_MAGIC 0x63686c64

/* In front of a frame that user space reads from a line's TAP. The kernel puts a VLAN tag that it carries beside the
 * frame at offset 12 of what it writes out, which is here: after `tag`, if that says so. */
struct chaos_line_header {
	__u32 magic;   /* CHAOS_LINE_MAGIC; on its way to the TAP: 0 when nothing is */
	__u32 ifindex; /* where it was taken */
	__u16 tagged;  /* four bytes of VLAN tag follow here */
	__u8 direction;
	__u8 packet_type; /* PACKET_HOST and its like: to whom the frame is addressed */
	__u32 mark;
	__u64 faults;	/* that hold it */
	__u64 flow;	/* hash, never 0 */
	__u64 taken_ns; /* CLOCK_MONOTONIC */
	__u32 priority;
	__u32 queue;
	__u32 cpu;
	__u32 number; /* by CPU: what one skb was cut into has one number */
};
#define CHAOS_LINE_TAG_AT 12

/* How the frame that user space is writing to a line's TAP goes on. The write runs the program that reads it. */
struct chaos_line {
	__u32 ifindex;
	__u32 direction;
	__u32 mark;
	__u32 priority;
	__u32 queue;
	__u32 pad;
	__u64 returned; /* counted by the program */
	__u64 pad64[4];
};

/* Whose sockets. */
struct chaos_user {
	__u32 uid;
	__u32 netns; /* inode of the network namespace; 0: in any */
};

/* A protected TCP connection; addresses v4-mapped, ports in host order. */
struct chaos_tuple {
	__u8 local_address[16];
	__u8 remote_address[16];
	__u16 local_port;
	__u16 remote_port;
	__u32 pad;
};

#define CHAOS_PROTECTED_TCP 0	 /* word offset of the TCP port bitmap in the protected_ports array */
#define CHAOS_PROTECTED_UDP 1024 /* word offset of the UDP port bitmap */
#define CHAOS_PROTECTED_WORDS 2048

#ifdef __cplusplus
#define CHAOS_ASSERT_SIZE(type, size) static_assert(sizeof(type) == (size), #type " drifted")
#else
#define CHAOS_ASSERT_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type " drifted")
#endif
CHAOS_ASSERT_SIZE(chaos_control, 128);
CHAOS_ASSERT_SIZE(chaos_fault, 64);
CHAOS_ASSERT_SIZE(chaos_budget, 64);
CHAOS_ASSERT_SIZE(chaos_slot, 24);
CHAOS_ASSERT_SIZE(chaos_counters, 80);
CHAOS_ASSERT_SIZE(chaos_prefix_key, 24);
CHAOS_ASSERT_SIZE(chaos_rules, 1024 + 64 * CHAOS_MAX_FAULTS + 128 + 128 + 2048 + 24 * CHAOS_MAX_SLOTS);
CHAOS_ASSERT_SIZE(chaos_tally, 4 * 4096);
CHAOS_ASSERT_SIZE(chaos_flow_line, 64);
CHAOS_ASSERT_SIZE(chaos_tuple, 40);
CHAOS_ASSERT_SIZE(chaos_maker, 8);
CHAOS_ASSERT_SIZE(chaos_user, 8);
CHAOS_ASSERT_SIZE(chaos_line_header, 56);
CHAOS_ASSERT_SIZE(chaos_line, 64);
