/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Matching: which faults do the filters let through? For packets, and for calls that are told as the packet that they
 * would send. */
#pragma once

#include "maps.bpf.h"
#include "packet.bpf.h"

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
