// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The packet classifier: which faults does this packet match, and what do they do to it. One program for all devices,
 * both directions, and one for what arrives at the sockets of a cgroup; reached only by tail call from entry programs
 * through a PROG_ARRAY whose only user-space fd dies first with the daemon. Every packet that is left alone is passed
 * on, at devices with CHAOS_PASS_ON, so that other owners' programs see it. */
#include "decide.bpf.h"
#include "gate.bpf.h"
#include "maps.bpf.h"
#include "match.bpf.h"
#include "packet.bpf.h"
#include "protected.bpf.h"
#include "receiver.bpf.h"

/* Faults that are narrowed to the cgroups of the socket that sends this packet. A socket's cgroup is the one that it
 * was made in; packets without a full socket (forwarded ones, resets, TIME_WAIT) have none. */
static __always_inline __u64 sender_mask(struct __sk_buff *skb, __u32 levels)
{
	__u64 mask = 0;

	for (int level = 0; level < CHAOS_MAX_CGROUP_LEVELS; level++) {
		__u64 id, *faults;

		if (!(levels >> level))
			break;
		if (!(levels >> level & 1))
			continue;
		id = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!id)
			break;
		faults = bpf_map_lookup_elem(&cgroups, &id);
		if (faults)
			mask |= *faults;
	}
	return mask;
}

/* Faults that are narrowed to the process that made the socket of this packet, or to the cgroup that has it. */
static __always_inline __u64 maker_mask(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	return sk ? mask_of_maker(bpf_sk_storage_get(&makers, sk, NULL, 0)) : 0;
}

/* Faults that are narrowed to the user of the socket of this packet. */
static __always_inline __u64 owner_mask(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	/* Without a full socket the helper would say "nobody". */
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	return sk ? user_mask(bpf_get_socket_uid(skb), sk) : 0;
}

/* Where a program sees packets: at a device those of all sockets, at a target's cgroup those of its own, and at the
 * root those that were handed over to a target. */
enum viewpoint { AT_DEVICE, AT_CGROUP, AT_ROOT };

/* Whose packet it is. */
static __always_inline __u64 match_socket(struct __sk_buff *skb, const struct chaos_control *any, enum viewpoint view,
					  __u64 mask)
{
	__u64 open = view == AT_CGROUP ? any->any_process : any->any_socket;

	if (mask & ~open) {
		__u64 meant = open;

		if (view == AT_DEVICE)
			meant |= sender_mask(skb, any->cgroup_levels);
		if (mask & (~any->any_process | any->handed_over))
			meant |= maker_mask(skb);
		/* What was made within the target is decided on there. */
		if (view == AT_ROOT)
			meant &= ~sender_mask(skb, any->cgroup_levels);
		mask &= meant;
	}
	if (mask & ~any->any_uid)
		mask &= any->any_uid | owner_mask(skb);
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
	__u64 held; /* these faults hold it */
};

/* One matching fault: gate, decide, count. A global function, so that the verifier walks it once and not once for each
 * of 64 faults. */
__noinline int run_fault(struct __sk_buff *skb, struct passage *w, __u32 index)
{
	const struct chaos_rules *page = gate_open();
	struct chaos_tally *own = own_tally();
	const struct chaos_fault *fault;
	struct chaos_counters *count;

	/* In the register that the verifier sees checked. */
	barrier_var(index);
	if (!w || !page || !own || index >= CHAOS_MAX_FAULTS)
		return 0;
	fault = &page->faults_backwards[CHAOS_FAULT_AT(index)];
	count = &own->faults[index];
	count->matched_segments += w->segments;
	if (gate_expired_at(&page->control, fault, &own->tick)) {
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
	if (!decide(fault, &w->packet, &w->flow, w->direction)) {
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
	if (fault->flags & CHAOS_FAULT_HOLD) {
		w->held |= 1ULL << index;
		return 0;
	}
	if (w->taken)
		count->injected_jointly++;
	w->taken = 1;
	return 0;
}

/* A packet that is lost comes to no line. Global: see run_fault. */
__noinline int count_lost_before_line(__u64 held)
{
	struct chaos_tally *own = own_tally();

	for (int i = 0; own && held && i < CHAOS_MAX_FAULTS; i++) {
		__u32 index = lowest_bit(held);

		/* The compiler knows it, the verifier does not. */
		barrier_var(index);
		if (index >= CHAOS_MAX_FAULTS)
			break;
		own->faults[index].injected_jointly++;
		held &= held - 1;
	}
	return 0;
}

/* Says to the program on the line's TAP what it is that comes next. */
static __always_inline int hand_over(struct __sk_buff *skb, const struct chaos_slot *slot, const struct passage *w)
{
	__u32 zero = 0;
	struct chaos_line_header *next = bpf_map_lookup_elem(&handovers, &zero);

	if (!next)
		return CHAOS_PASS_ON;
	next->magic = CHAOS_LINE_MAGIC;
	next->ifindex = skb->ifindex;
	next->direction = (__u8)w->direction;
	next->packet_type = (__u8)skb->pkt_type;
	next->mark = skb->mark;
	next->faults = w->held;
	next->flow = w->flow ?: flow_hash(&w->packet) ?: 1;
	next->taken_ns = bpf_ktime_get_ns();
	next->priority = skb->priority;
	next->queue = skb->queue_mapping;
	return (int)bpf_redirect(slot->line_ifindex, 0);
}

/* A packet that a line has let go passes its device once more. On egress nobody can forge where it comes from; on
 * ingress that is lost, and a mark says it instead, for which it gets back the one that it had, and its type. */
static __always_inline bool comes_from_line(struct __sk_buff *skb, const struct chaos_control *control,
					    const struct chaos_slot *slot, __u32 direction)
{
	if (!slot->line_ifindex)
		return false;
	if (direction == CHAOS_EGRESS) {
		__u32 number = slot->line;
		const struct chaos_line *line = bpf_map_lookup_elem(&lines, &number);

		return skb->ingress_ifindex == slot->line_ifindex && line && line->ifindex == skb->ifindex;
	}
	__u32 number = skb->mark ^ control->line_secret;
	__u64 *mark = number < CHAOS_LINE_MARKS ? bpf_map_lookup_elem(&line_marks, &number) : NULL;
	__u32 type;

	if (!mark)
		return false;
	skb->mark = (__u32)*mark;
	/* It was found out anew, by the address of this device alone: a bridge's ports have others. */
	type = *mark >> CHAOS_LINE_TYPE_SHIFT;
	if (skb->pkt_type != type)
		bpf_skb_change_type(skb, type);
	return true;
}

/* For who watches drops: this one is ours. It is freed before anything else looks at its time stamp. */
static __always_inline void mark_dropped(struct __sk_buff *skb, const struct chaos_control *control)
{
	skb->tstamp = control->drop_mark;
}

static __always_inline const struct chaos_rules *rules_page(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rules, &zero);
}

/* What becomes of the packet: in `w`, taken or held. */
static __always_inline void classify(struct __sk_buff *skb, const struct chaos_slot *slot, __u32 where,
				     enum viewpoint view, struct passage *w)
{
	const struct chaos_rules *page = gate_open();
	__u32 direction = where & 1;
	/* A device's arrivals have no socket yet; one is looked for when nothing else speaks against the packet. */
	bool arrives = direction == CHAOS_INGRESS && view == AT_DEVICE;
	struct chaos_tally *own;
	__u64 mask;

	if (!page)
		return;
	mask = slot->faults[direction] & *(volatile const __u64 *)&page->control.active;
	if (!mask)
		return;
	own = own_tally();
	/* One number for both: older verifiers lose the bounds of one that is put together. */
	if (own)
		own->seen_backwards[CHAOS_SEEN_AT(where & (CHAOS_MAX_SLOTS * 2 - 1))]++;

	if (!arrives)
		mask = match_socket(skb, &page->control, view, mask);
	if (!mask)
		return;
	__builtin_memset(w, 0, sizeof(*w));
	parse_packet(skb, slot->l2_len, &w->packet);
	mask = match(page, &w->packet, direction, mask);
	if (arrives && mask & ~(page->control.any_socket & page->control.any_uid))
		mask = match_receiver(skb, &w->packet, mask);
	w->direction = direction;
	w->segments = skb->gso_segs ?: 1;
	for (int i = 0; i < CHAOS_MAX_FAULTS && mask; i++) {
		run_fault(skb, w, lowest_bit(mask));
		mask &= mask - 1;
	}
}

SEC("tc")
int chaos_classify(struct __sk_buff *skb)
{
	const struct chaos_rules *page = rules_page();
	__u32 where = skb->cb[CHAOS_CB_WORD];
	__u32 direction = where & 1;
	const struct chaos_slot *slot;
	struct passage w;

	if (!page || where >= CHAOS_MAX_SLOTS * 2)
		return CHAOS_PASS_ON;
	slot = &page->slots[where >> 1];
	if (comes_from_line(skb, &page->control, slot, direction))
		return CHAOS_PASS_ON;
	w.taken = 0;
	w.held = 0;
	classify(skb, slot, where, AT_DEVICE, &w);
	if (!w.taken)
		return w.held && slot->line_ifindex ? hand_over(skb, slot, &w) : CHAOS_PASS_ON;
	if (w.held)
		count_lost_before_line(w.held);
	mark_dropped(skb, &page->control);
	/* Egress: a redirect to no device loses the packet without telling the sender's stack. TC_ACT_SHOT would report
	 * NET_XMIT_DROP (net/core/dev.c, sch_handle_egress), and no network does that. */
	return direction == CHAOS_EGRESS ? (int)bpf_redirect(0, 0) : CHAOS_DROP;
}

/* 1 lets a packet reach its socket; 0 loses it without a word (net/core/filter.c, sk_filter_trim_cap). */
SEC("cgroup_skb/ingress")
int chaos_arrivals(struct __sk_buff *skb)
{
	const struct chaos_rules *page = rules_page();
	__u32 where = skb->cb[CHAOS_CB_WORD];
	const struct chaos_slot *slot;
	struct passage w;

	if (!page || where >= CHAOS_MAX_SLOTS * 2)
		return 1;
	slot = &page->slots[where >> 1];
	w.taken = 0;
	classify(skb, slot, where, slot->handed_over ? AT_ROOT : AT_CGROUP, &w);
	if (w.taken)
		mark_dropped(skb, &page->control);
	return !w.taken;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
