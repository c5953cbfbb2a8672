// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The packet classifier: which faults does this packet match, and what do they do to it. One program for both
 * directions and all devices, reached only by tail call from entry programs through a PROG_ARRAY whose only
 * user-space fd dies first with the daemon. Every packet that is left alone is passed on with CHAOS_PASS_ON, so other
 * owners' programs see it. */
#include "decide.bpf.h"
#include "gate.bpf.h"
#include "maps.bpf.h"
#include "packet.bpf.h"
#include "protected.bpf.h"

static __always_inline __u64 mask_at(void *array, __u32 index)
{
	__u64 *mask = bpf_map_lookup_elem(array, &index);

	return mask ? *mask : 0;
}

/* This CPU's counters. */
static __always_inline struct chaos_tally *own_tally(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&tallies, &cpu);
}

/* The mask classifier: every filter dimension gives the faults that it lets through; their AND matches. Cheap lookups
 * first, the prefix trie last and only for faults that ask for it. */
static __always_inline __u64 match(const struct chaos_rules *page, const struct packet *p, __u32 direction, __u64 mask)
{
	const struct chaos_control *any = &page->control;
	bool egress = direction == CHAOS_EGRESS;

	if (p->flags & PACKET_IP && !(p->flags & PACKET_BROKEN))
		mask &= any->any_protocol | page->protocols[p->protocol];
	else
		mask &= any->any_protocol;
	if (p->flags & PACKET_PORTS) {
		__u16 remote = egress ? p->destination_port : p->source_port;
		__u16 local = egress ? p->source_port : p->destination_port;

		/* A table is looked at only for faults that ask for it: each is a page of its own. */
		if (mask & ~any->any_remote_port)
			mask &= any->any_remote_port | mask_at(&remote_ports, remote);
		if (mask & ~any->any_local_port)
			mask &= any->any_local_port | mask_at(&local_ports, local);
	} else {
		mask &= any->any_remote_port & any->any_local_port;
	}
	if (mask & ~any->any_peer) {
		struct chaos_prefix_key key;
		__u64 *covering = NULL;

		peer_key(&key, p, direction);
		if (p->flags & PACKET_IP)
			covering = bpf_map_lookup_elem(&peers, &key);
		mask &= any->any_peer | (covering ? *covering : 0);
	}
	return mask;
}

/* One packet on its way through the faults. */
struct passage {
	struct packet packet;
	__u64 flow; /* hash, 0 until somebody needs it */
	__u32 direction;
	__u32 segments; /* wire packets that this skb stands for */
	__u8 protection_known;
	__u8 is_protected;
	__u8 taken; /* some fault loses it */
	__u8 pad[5];
};

/* One matching fault: gate, decide, count. A global function, so that the verifier walks it once and not once for each
 * of 64 faults. */
__noinline int run_fault(struct __sk_buff *skb, struct passage *w, __u32 index)
{
	const struct chaos_rules *page = gate_open();
	struct chaos_tally *own = own_tally();
	const struct chaos_fault *fault;
	struct chaos_counters *count;

	if (!w || !page || !own || index >= CHAOS_MAX_FAULTS)
		return 0;
	fault = &page->faults_backwards[CHAOS_FAULT_AT(index)];
	count = &own->faults[index];
	count->matched_segments += w->segments;
	if (gate_expired(&page->control, fault)) {
		count->spared_expired++;
		return 0;
	}
	if (!w->protection_known) {
		w->is_protected = protected_packet(skb, page, &w->packet, w->direction);
		w->protection_known = 1;
	}
	if (w->is_protected) {
		count->spared_protected++;
		return 0;
	}
	if (!decide_random(fault, &w->packet, &w->flow)) {
		count->not_sampled++;
		return 0;
	}
	if (!gate_budget(index, fault)) {
		count->spared_budget++;
		return 0;
	}
	if (fault->flags & CHAOS_FAULT_SHADOW) {
		count->shadowed++;
		return 0;
	}
	count->injected++;
	count->injected_segments += w->segments;
	if (w->taken)
		count->injected_jointly++;
	w->taken = 1;
	return 0;
}

SEC("tc")
int chaos_classify(struct __sk_buff *skb)
{
	const struct chaos_rules *page = gate_open();
	__u32 slot_direction = skb->cb[CHAOS_CB_WORD];
	__u32 direction = slot_direction & 1;
	__u32 index = slot_direction >> 1;
	const struct chaos_slot *slot;
	struct passage w;
	struct chaos_tally *own;
	__u64 mask;

	if (!page || index >= CHAOS_MAX_SLOTS)
		return CHAOS_PASS_ON;
	slot = &page->slots[index];
	mask = slot->faults[direction] & *(volatile const __u64 *)&page->control.active;
	if (!mask)
		return CHAOS_PASS_ON;
	own = own_tally();
	if (own)
		own->seen_backwards[CHAOS_SEEN_AT(index << 1 | direction)]++;

	__builtin_memset(&w, 0, sizeof(w));
	parse_packet(skb, slot->l2_len, &w.packet);
	mask = match(page, &w.packet, direction, mask);
	if (!mask)
		return CHAOS_PASS_ON;
	w.direction = direction;
	w.segments = skb->gso_segs ?: 1;
	for (int i = 0; i < CHAOS_MAX_FAULTS && mask; i++) {
		run_fault(skb, &w, lowest_bit(mask));
		mask &= mask - 1;
	}
	if (!w.taken)
		return CHAOS_PASS_ON;
	/* Egress: a redirect to no device loses the packet without telling the sender's stack. TC_ACT_SHOT would report
	 * NET_XMIT_DROP (net/core/dev.c, sch_handle_egress), and no network does that. */
	return direction == CHAOS_EGRESS ? (int)bpf_redirect(0, 0) : CHAOS_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
