/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Decisions: a hash of the fault's seed, the packet's flow and its number within that flow, so that they do not depend
 * on how CPUs interleave: the same traffic with the same seed loses the same packets. */
#pragma once

#include "maps.bpf.h"
#include "packet.bpf.h"

/* Finalizer of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
static __always_inline __u64 mix64(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

#define GOLDEN64 0x9e3779b97f4a7c15ULL

/* One direction of a conversation. Later fragments and port-less protocols are a flow per address pair and protocol. */
static __always_inline __u64 flow_hash(const struct packet *p)
{
	const __u64 *source = (const __u64 *)p->source;
	const __u64 *destination = (const __u64 *)p->destination;
	__u64 h = mix64(source[0] + GOLDEN64);

	h = mix64(h ^ source[1]) + GOLDEN64;
	h = mix64(h ^ destination[0]) + GOLDEN64;
	h = mix64(h ^ destination[1]) + GOLDEN64;
	return mix64(h ^ ((__u64)p->source_port << 32 | (__u64)p->destination_port << 16 | p->protocol));
}

/* This packet's number within its flow for this activation, from 0. A full table evicts the flow seen longest ago,
 * which then starts again at 0. */
static __always_inline __u64 packet_number(__u64 flow, __u64 generation)
{
	struct chaos_flow_key key = {.flow = flow, .generation = generation};
	__u64 *count = bpf_map_lookup_elem(&flows, &key);
	__u64 zero = 0;

	if (!count) {
		/* NOEXIST: two CPUs may meet here with the flow's first packets; the loser finds the winner's entry. */
		bpf_map_update_elem(&flows, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&flows, &key);
		if (!count)
			return 0;
	}
	return __sync_fetch_and_add(count, 1);
}

/* True if the fault takes this packet. `flow` is filled on first use: 0 means not yet computed. */
static __always_inline bool decide_random(const struct chaos_fault *fault, const struct packet *p, __u64 *flow)
{
	if (!fault->threshold)
		return false;
	if (fault->threshold >= 1ULL << 32)
		return true;
	if (!*flow)
		*flow = flow_hash(p);
	return mix64(mix64(fault->seed ^ *flow) + packet_number(*flow, fault->generation) * GOLDEN64) >> 32 <
	       fault->threshold;
}
