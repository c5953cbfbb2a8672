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

/* IPv4 differs in one half of the word only: that half goes where a multiplication spreads it furthest. */
static __always_inline __u64 swap_halves(__u64 word)
{
	return word << 32 | word >> 32;
}

/* One direction of a conversation. Later fragments and port-less protocols are a flow per address pair and protocol.
 * A multilinear hash (Carter, Wegman 1979) with odd constants, finished by mix64: its products do not wait for each
 * other. */
static __always_inline __u64 flow_hash(const struct packet *p)
{
	const __u64 *source = (const __u64 *)p->source;
	const __u64 *destination = (const __u64 *)p->destination;
	__u64 ports = (__u64)p->source_port << 32 | (__u64)p->destination_port << 16 | p->protocol;

	return mix64(source[0] * 0x9fb21c651e98df25ULL + swap_halves(source[1]) * 0xd6e8feb86659fd93ULL +
		     destination[0] * 0xa0761d6478bd642fULL + swap_halves(destination[1]) * 0xe7037ed1a0b428dbULL +
		     ports * 0x8ebc6af09c88c6e3ULL + GOLDEN64);
}

/* The flow's entry in a line: found, or claimed. NULL: the line is full of others. */
static __always_inline struct chaos_flow *claim_way(struct chaos_flow_line *line, __u64 key, __u32 generation)
{
	for (int i = 0; i < CHAOS_FLOW_WAYS; i++) {
		struct chaos_flow *way = &line->ways[i];
		__u64 holder = __sync_val_compare_and_swap(&way->key, 0, key);

		/* Two CPUs may meet here with the flow's first packets: they claim in the same order. */
		if (!holder)
			way->generation = generation;
		if (!holder || holder == key)
			return way;
	}
	return NULL;
}

/* Numbers a packet of a flow that its line has no entry for yet. A full table of spilled flows evicts the flow seen
 * longest ago, which then starts again at 0. */
static __noinline __u32 first_or_spilled_number(__u32 index, __u64 key, __u32 generation)
{
	struct chaos_flow_line *line = bpf_map_lookup_elem(&flow_lines, &index);
	__u32 *count = bpf_map_lookup_elem(&spilled_flows, &key);
	struct chaos_flow *way;
	__u32 zero = 0;

	/* A flow that was spilled once stays there, though room may have come: its number must not start again. */
	if (!count && line) {
		way = claim_way(line, key, generation);
		if (way)
			return __sync_fetch_and_add(&way->count, 1);
		bpf_map_update_elem(&spilled_flows, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&spilled_flows, &key);
	}
	return count ? __sync_fetch_and_add(count, 1) : 0;
}

/* This packet's number within its flow for this activation, from 0; after 2^32 packets it starts again. */
static __always_inline __u32 packet_number(__u64 key, __u32 generation)
{
	__u32 index = key & (CHAOS_FLOW_LINES - 1);
	struct chaos_flow_line *line = bpf_map_lookup_elem(&flow_lines, &index);

	if (!line)
		return 0;
	for (int i = 0; i < CHAOS_FLOW_WAYS; i++) {
		if (line->ways[i].key == key)
			return __sync_fetch_and_add(&line->ways[i].count, 1);
	}
	return first_or_spilled_number(index, key, generation);
}

/* True if the fault takes this packet. `flow` is filled on first use: 0 means not yet computed. */
static __always_inline bool decide_random(const struct chaos_fault *fault, const struct packet *p, __u64 *flow)
{
	__u64 seeded, key;

	if (!fault->threshold)
		return false;
	if (fault->threshold >= 1ULL << 32)
		return true;
	if (!*flow)
		*flow = flow_hash(p);
	seeded = mix64(fault->seed ^ *flow);
	key = (seeded ^ fault->generation * GOLDEN64) ?: 1;
	return mix64(seeded + packet_number(key, (__u32)fault->generation) * GOLDEN64) >> 32 < fault->threshold;
}
