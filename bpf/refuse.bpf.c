// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Refusing calls: connect(2), and sendmsg(2) with an address, of the sockets of one cgroup end at once with an errno.
 * Loaded once for each attached cgroup, which is a slot; the masks, filters, gate and counters are those of packets,
 * the call being told as the packet that it would send. These hooks may be preempted and go on on another CPU, so every
 * count is an atomic one, in a place that no packet counts in. */
#include "decide.bpf.h"
#include "errno.bpf.h"
#include "gate.bpf.h"
#include "maps.bpf.h"
#include "match.bpf.h"
#include "packet.bpf.h"
#include "protected.bpf.h"

#define CALL_PROCEEDS 1
#define CALL_REFUSED 0

/* Which slot this load is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} call_slot SEC(".maps");

/* One call on its way through the faults. */
struct call {
	struct packet packet;
	__u64 flow;
	__u32 refuse_errno; /* of the first fault that refuses it */
	__u32 pad;
};

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* One matching fault: gate, decide, count. Global: see run_fault of packet.bpf.c. */
__noinline int refuse_by_fault(struct call *c, __u32 index)
{
	const struct chaos_rules *page = gate_open();
	struct chaos_tally *own = own_tally();
	const struct chaos_fault *fault;
	struct chaos_counters *counters;

	if (!c || !page || !own || index >= CHAOS_MAX_FAULTS)
		return 0;
	fault = &page->faults_backwards[CHAOS_FAULT_AT(index)];
	counters = &own->calls[index];
	count(&counters->matched_segments);
	if (gate_expired(&page->control, fault)) {
		count(&counters->spared_expired);
	} else if (protected_transport(page, c->packet.protocol, 0, c->packet.destination_port) ||
		   protected_peer(page, &c->packet, CHAOS_EGRESS)) {
		count(&counters->spared_protected);
	} else if (!decide_call(fault, &c->packet, &c->flow)) {
		count(&counters->not_sampled);
	} else if (!gate_budget(index, fault)) {
		count(&counters->spared_budget);
	} else if (fault->flags & CHAOS_FAULT_SHADOW) {
		count(&counters->shadowed);
	} else {
		count(&counters->injected);
		count(&counters->injected_segments);
		if (c->refuse_errno)
			count(&counters->injected_jointly);
		else
			c->refuse_errno = fault->refuse_errno;
	}
	return 0;
}

/* Whose call it is: the process and user that make it. `handed_over`: at the root, where others' cgroups call as well,
 * by sockets that were handed over to the target. */
static __always_inline __u64 match_caller(const struct chaos_control *any, struct bpf_sock *sk, bool handed_over,
					  __u64 mask)
{
	if (handed_over) {
		mask &= sk ? mask_of_maker(bpf_sk_storage_get(&makers, sk, NULL, 0)) : 0;
	} else if (mask & ~any->any_process) {
		__u32 process = bpf_get_current_pid_tgid() >> 32;
		__u64 *faults = bpf_map_lookup_elem(&processes, &process);

		mask &= any->any_process | (faults ? *faults : 0);
	}
	if (mask & ~any->any_uid)
		mask &= any->any_uid | (sk ? user_mask((__u32)bpf_get_current_uid_gid(), sk) : 0);
	return mask;
}

/* The call's far end; the near one is not known yet. */
static __always_inline int judge(struct bpf_sock_addr *ctx, struct call *c)
{
	const struct chaos_rules *page = gate_open();
	struct chaos_tally *own = own_tally();
	__u32 zero = 0;
	__u32 *slot = bpf_map_lookup_elem(&call_slot, &zero);
	__u32 index;
	__u64 mask;

	if (!page || !own || !slot)
		return CALL_PROCEEDS;
	index = *slot;
	if (index >= CHAOS_MAX_SLOTS)
		return CALL_PROCEEDS;
	mask = page->slots[index].faults[CHAOS_EGRESS] & *(volatile const __u64 *)&page->control.active;
	if (!mask)
		return CALL_PROCEEDS;
	count(&own->seen_backwards[CHAOS_SEEN_AT(index << 1 | CHAOS_EGRESS)]);
	mask = match_caller(&page->control, ctx->sk, page->slots[index].handed_over, mask);
	c->packet.destination_port = bpf_ntohs((__u16)ctx->user_port);
	c->packet.protocol = ctx->protocol;
	c->packet.flags = PACKET_IP;
	if (has_ports(c->packet.protocol))
		c->packet.flags |= PACKET_PORTS;
	mask = match(page, &c->packet, CHAOS_EGRESS, mask);
	for (int i = 0; i < CHAOS_MAX_FAULTS && mask; i++) {
		refuse_by_fault(c, lowest_bit(mask));
		mask &= mask - 1;
	}
	if (!c->refuse_errno)
		return CALL_PROCEEDS;
	set_return_value(negative_errno(c->refuse_errno));
	return CALL_REFUSED;
}

static __always_inline int judge_ipv4(struct bpf_sock_addr *ctx)
{
	struct call c;

	__builtin_memset(&c, 0, sizeof(c));
	c.packet.ethertype = ETHERTYPE_IPV4;
	set_mapped(c.packet.destination, ctx->user_ip4);
	return judge(ctx, &c);
}

static __always_inline int judge_ipv6(struct bpf_sock_addr *ctx)
{
	struct call c;
	__u32 *to = c.packet.destination;

	__builtin_memset(&c, 0, sizeof(c));
	to[0] = ctx->user_ip6[0];
	to[1] = ctx->user_ip6[1];
	to[2] = ctx->user_ip6[2];
	to[3] = ctx->user_ip6[3];
	/* An IPv4 peer by way of an IPv6 socket. */
	c.packet.ethertype = !to[0] && !to[1] && to[2] == bpf_htonl(0xffff) ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
	return judge(ctx, &c);
}

SEC("cgroup/connect4")
int chaos_connect4(struct bpf_sock_addr *ctx)
{
	return judge_ipv4(ctx);
}

SEC("cgroup/connect6")
int chaos_connect6(struct bpf_sock_addr *ctx)
{
	return judge_ipv6(ctx);
}

SEC("cgroup/sendmsg4")
int chaos_sendmsg4(struct bpf_sock_addr *ctx)
{
	return judge_ipv4(ctx);
}

SEC("cgroup/sendmsg6")
int chaos_sendmsg6(struct bpf_sock_addr *ctx)
{
	return judge_ipv6(ctx);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
