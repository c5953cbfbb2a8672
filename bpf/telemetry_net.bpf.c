// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Watches the network stack while somebody asks: packets that are dropped, by reason; what TCP sends again, its resets
 * and round-trip times; and processes that the kernel kills for want of memory. Changes nothing.
 *
 * A packet that a fault of ours takes carries our mark as its time stamp when it is freed (see packet.bpf.c): so the
 * two origins of drops are told apart packet by packet, whatever reason the kernel gives. */
#include "histogram.bpf.h"
#include "telemetry.bpf.h"

/* What the kernel's tracepoints have, as the daemon reads it from BTF. */
const volatile __u8 drop_names_receiver = 0;		   /* kfree_skb: since 6.11 */
const volatile __u8 retransmit_has_result = 0;		   /* tcp_retransmit_skb: since 6.17 */
const volatile __u8 victim_is_task = 0;			   /* mark_victim: since 6.8 */
const volatile __u64 drop_mark = 0;			   /* chaos_control.drop_mark; 0: none */
const volatile char line_device[CHAOS_DEVICE_PREFIX] = {}; /* our devices' names begin so; not ended by 0 */

CHAOS_ARRAY(net_counts, struct chaos_net_counts, 1); /* created with one for each possible CPU */

#define STATE_TIME_WAIT 6 /* include/net/tcp_states.h; these two are no full sockets */
#define STATE_NEW_SYN_RECV 12
#define FLAG_SYN 2
#define SUBSYSTEM_SHIFT 16 /* include/net/dropreason-core.h */

struct net_device {
	char name[16];
} __attribute__((preserve_access_index));

struct sock_common {
	volatile unsigned char skc_state;
} __attribute__((preserve_access_index));

struct sock_cgroup_data {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
} __attribute__((preserve_access_index));

struct tcp_sock {
	__u32 srtt_us; /* eight times the smoothed round-trip time */
} __attribute__((preserve_access_index));

struct tcp_skb_cb {
	__u16 tcp_gso_segs;
	__u8 tcp_flags; /* the lower half of what is 16 bits since 6.15 */
} __attribute__((preserve_access_index));

typedef struct {
	int counter;
} __attribute__((preserve_access_index)) atomic_t;

struct sk_buff;

struct skb_shared_info {
	struct sk_buff *frag_list;
	atomic_t dataref;
} __attribute__((preserve_access_index));

struct sk_buff {
	struct sk_buff *next;
	struct net_device *dev;
	struct sock *sk;
	__s64 tstamp;
	char cb[48];
	unsigned int end; /* from head: where the shared info is */
	unsigned char *head;
} __attribute__((preserve_access_index));

struct css_set {
	struct cgroup *dfl_cgrp;
} __attribute__((preserve_access_index));

struct task_struct {
	struct css_set *cgroups;
} __attribute__((preserve_access_index));

static __always_inline struct chaos_net_counts *own_counts(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&net_counts, &cpu);
}

/* Whether this set means the socket's events. */
static __always_inline enum belonging whose(struct sock *sk)
{
	const struct chaos_scope *scope = scope_page();
	unsigned char state;

	if (!scope)
		return ANOTHERS;
	if (!scope->narrowed)
		return MEANT;
	if (!sk)
		return NOBODYS;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == STATE_TIME_WAIT || state == STATE_NEW_SYN_RECV)
		return NOBODYS;
	return is_cgroup_meant(scope, BPF_CORE_READ(sk, sk_cgrp_data.cgroup));
}

static __always_inline bool is_at_own_device(struct sk_buff *skb)
{
	struct net_device *device = BPF_CORE_READ(skb, dev);
	char name[16] = {};

	if (!device || BPF_CORE_READ_INTO(&name, device, name))
		return false;
	for (int i = 0; i < CHAOS_DEVICE_PREFIX; i++) {
		if (name[i] != line_device[i])
			return false;
	}
	return true;
}

static __always_inline enum chaos_drop_origin origin_of(struct sk_buff *skb)
{
	if (drop_mark && (__u64)BPF_CORE_READ(skb, tstamp) == drop_mark)
		return CHAOS_DROP_INJECTED;
	return is_at_own_device(skb) ? CHAOS_DROP_DELAY_LINE : CHAOS_DROP_NATURAL;
}

/* What was put together from fragments is freed with them, one after the other, and each is told as a drop of its own
 * (net/core/skbuff.c, skb_release_data): they are no packets any more. */
static __always_inline struct sk_buff *fragments_of(struct sk_buff *skb)
{
	struct skb_shared_info *shared = (void *)(BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end));

	/* Others have the data as well: they stay. */
	if ((BPF_CORE_READ(shared, dataref.counter) & 0xffff) != 1)
		return NULL;
	return BPF_CORE_READ(shared, frag_list);
}

SEC("tp_btf/kfree_skb")
int watch_drops(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	__u32 reason = (__u32)ctx[2];
	struct chaos_net_counts *counts = own_counts();
	struct sock *sk = NULL;
	enum chaos_drop_origin origin;
	enum belonging belongs;

	if (!counts)
		return 0;
	if (counts->next_fragment && counts->next_fragment == (__u64)skb) {
		counts->next_fragment = (__u64)BPF_CORE_READ(skb, next);
		return 0;
	}
	counts->next_fragment = (__u64)fragments_of(skb);
	if (drop_names_receiver)
		sk = (struct sock *)ctx[3];
	if (!sk)
		sk = BPF_CORE_READ(skb, sk);
	belongs = whose(sk);
	if (belongs == ANOTHERS)
		return 0;
	origin = origin_of(skb);
	if (belongs == NOBODYS) {
		counts->drops_unowned[origin]++;
		return 0;
	}
	if (reason >> SUBSYSTEM_SHIFT)
		reason = CHAOS_DROP_SUBSYSTEMS + (reason >> SUBSYSTEM_SHIFT);
	/* Beyond the table, which has room for what may come: with those that have no reason. */
	if (reason >= CHAOS_DROP_REASONS)
		reason = 0;
	counts->drops[origin][reason]++;
	return 0;
}

SEC("tp_btf/tcp_probe")
int watch_rtt(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct chaos_net_counts *counts;
	struct tcp_sock *tcp;
	__u32 rtt_us, bucket;

	if (whose(sk) != MEANT)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	counts = own_counts();
	if (!tcp || !counts)
		return 0;
	rtt_us = tcp->srtt_us >> 3;
	bucket = bucket_of(rtt_us);
	/* 0: nothing of its own has been acknowledged yet. */
	if (!rtt_us || bucket >= CHAOS_RTT_BUCKETS)
		return 0;
	counts->rtt_sum_us += rtt_us;
	counts->rtt[bucket]++;
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int watch_retransmits(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	struct chaos_net_counts *counts = own_counts();
	struct tcp_skb_cb *tcp;

	if (!counts || whose(sk) != MEANT)
		return 0;
	if (retransmit_has_result && (__s32)ctx[2])
		return 0;
	tcp = (void *)skb + bpf_core_field_offset(struct sk_buff, cb);
	counts->retransmits++;
	counts->retransmitted_segments += BPF_CORE_READ(tcp, tcp_gso_segs);
	if (BPF_CORE_READ(tcp, tcp_flags) & FLAG_SYN)
		counts->retransmitted_syns++;
	return 0;
}

/* On behalf of a connection that is being made: the listener's. */
SEC("tp_btf/tcp_retransmit_synack")
int watch_synacks(__u64 *ctx)
{
	struct chaos_net_counts *counts = own_counts();

	if (!counts || whose((struct sock *)ctx[0]) != MEANT)
		return 0;
	counts->retransmits++;
	counts->retransmitted_segments++;
	counts->retransmitted_synacks++;
	return 0;
}

SEC("tp_btf/tcp_send_reset")
int watch_resets_sent(__u64 *ctx)
{
	struct chaos_net_counts *counts = own_counts();
	enum belonging belongs = whose((struct sock *)ctx[0]);

	if (!counts)
		return 0;
	if (belongs == MEANT)
		counts->resets_sent++;
	if (belongs == NOBODYS)
		counts->resets_unowned++;
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int watch_resets_received(__u64 *ctx)
{
	struct chaos_net_counts *counts = own_counts();

	if (counts && whose((struct sock *)ctx[0]) == MEANT)
		counts->resets_received++;
	return 0;
}

/* Called by whoever asked for the memory; the victim is another. */
SEC("raw_tracepoint/mark_victim")
int watch_oom_kills(__u64 *ctx)
{
	const struct chaos_scope *scope = scope_page();
	struct chaos_net_counts *counts = own_counts();

	if (!scope || !counts)
		return 0;
	if (scope->narrowed) {
		struct task_struct *victim = (struct task_struct *)ctx[0];

		if (!victim_is_task || is_cgroup_meant(scope, BPF_CORE_READ(victim, cgroups, dfl_cgrp)) != MEANT)
			return 0;
	}
	counts->oom_kills++;
	return 0;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
