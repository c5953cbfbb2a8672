/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Decisions: a hash of the fault's seed, the packet's flow and its number within that flow, so that they do not depend
 * on how CPUs interleave: the same traffic with the same seed loses the same packets. */
#pragma once

#include "maps.bpf.h"
#include "mix.bpf.h"
#include "packet.bpf.h"

/* IPv4 differs in one half of the word only: that half goes where a multiplication spreads it furthest. */
static __always_inline __u64 swap_halves(__u64 word)
{
	return word << 32 | word >> 32;
}

/* Two ends and a protocol. A multilinear hash (Carter, Wegman 1979) with odd constants, finished by mix64: its products
 * do not wait for each other. */
static __always_inline __u64 ends_hash(const __u32 *from, const __u32 *to, __u16 from_port, __u16 to_port,
				       __u8 protocol)
{
	const __u64 *source = (const __u64 *)from;
	const __u64 *destination = (const __u64 *)to;
	__u64 ports = (__u64)from_port << 32 | (__u64)to_port << 16 | protocol;

	return mix64(source[0] * 0x9fb21c651e98df25ULL + swap_halves(source[1]) * 0xd6e8feb86659fd93ULL +
		     destination[0] * 0xa0761d6478bd642fULL + swap_halves(destination[1]) * 0xe7037ed1a0b428dbULL +
		     ports * 0x8ebc6af09c88c6e3ULL + GOLDEN64);
}

/* One direction of a conversation. Later fragments and port-less protocols are a flow per address pair and protocol. */
static __always_inline __u64 flow_hash(const struct packet *p)
{
	return ends_hash(p->source, p->destination, p->source_port, p->destination_port, p->protocol);
}

/* The same for both directions. */
static __always_inline __u64 conversation_hash(const struct packet *p, __u32 direction)
{
	if (direction == CHAOS_EGRESS)
		return flow_hash(p);
	return ends_hash(p->destination, p->source, p->destination_port, p->source_port, p->protocol);
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

/* The count of a flow that its line has no entry for yet. A full table of spilled flows evicts the flow seen longest
 * ago, which then starts again at 0. */
static __noinline __u32 *first_or_spilled_count(__u32 index, __u64 key, __u32 generation)
{
	struct chaos_flow_line *line = bpf_map_lookup_elem(&flow_lines, &index);
	__u32 *count = bpf_map_lookup_elem(&spilled_flows, &key);
	struct chaos_flow *way;
	__u32 zero = 0;

	/* A flow that was spilled once stays there, though room may have come: its number must not start again. */
	if (!count && line) {
		way = claim_way(line, key, generation);
		if (way)
			return &way->count;
		bpf_map_update_elem(&spilled_flows, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&spilled_flows, &key);
	}
	return count;
}

/* How many packets of the flow this activation has numbered; NULL if there is no room for it. */
static __always_inline __u32 *flow_count(__u64 key, __u32 generation)
{
	__u32 index = key & (CHAOS_FLOW_LINES - 1);
	struct chaos_flow_line *line = bpf_map_lookup_elem(&flow_lines, &index);

	if (!line)
		return NULL;
	for (int i = 0; i < CHAOS_FLOW_WAYS; i++) {
		if (line->ways[i].key == key)
			return &line->ways[i].count;
	}
	return first_or_spilled_count(index, key, generation);
}

/* A flow under one activation of a fault. */
struct numbered {
	__u64 seeded; /* hash of seed and flow: the same in every activation with that seed */
	__u32 *count;
};

static __always_inline struct numbered number_flow(const struct chaos_fault *fault, __u64 flow)
{
	struct numbered n;

	n.seeded = mix64(fault->seed ^ flow);
	n.count = flow_count((n.seeded ^ fault->generation * GOLDEN64) ?: 1, (__u32)fault->generation);
	return n;
}

/* This packet's number within its flow for this activation, from 0; after 2^32 packets it starts again. */
static __always_inline __u32 take_number(const struct numbered *n)
{
	return n->count ? __sync_fetch_and_add(n->count, 1) : 0;
}

static __always_inline bool decide_random(const struct chaos_fault *fault, __u64 flow)
{
	struct numbered n;

	if (!fault->threshold)
		return false;
	if (fault->threshold >= 1ULL << 32)
		return true;
	n = number_flow(fault, flow);
	return mix64(n.seeded + take_number(&n) * GOLDEN64) >> 32 < fault->threshold;
}

static __always_inline bool decide_every(const struct chaos_fault *fault, __u64 flow)
{
	struct numbered n = number_flow(fault, flow);
	__u32 every = (__u32)fault->of.every ?: 1;
	__u32 phase = (__u32)(mix64(n.seeded + GOLDEN64) >> 32) % every;

	return ((__u64)take_number(&n) + phase) % every == every - 1;
}

static __always_inline bool decide_per_flow(const struct chaos_fault *fault, const struct packet *p, __u64 flow,
					    __u32 direction)
{
	__u64 chosen = mix64(mix64(fault->seed + GOLDEN64) ^ conversation_hash(p, direction)) >> 32;

	return chosen < fault->of.share && decide_random(fault, flow);
}

static __always_inline bool decide_per_peer(const struct chaos_fault *fault, const struct packet *p, __u64 flow,
					    __u32 direction)
{
	static const __u32 nobody[4];
	__u64 address = ends_hash(direction == CHAOS_EGRESS ? p->destination : p->source, nobody, 0, 0, 0);

	return mix64(mix64(fault->seed + GOLDEN64) ^ address) >> 32 < fault->of.share && decide_random(fault, flow);
}

/* How often a packet may lose the race for its flow's state against other CPUs before it is let through. Each try costs
 * the verifier: 128 of them took it half a second for each program. */
#define GILBERT_TRIES 16

/* The state of a flow behind its k-th packet follows from seed, flow and k alone. State and number move together, in
 * one exchange: each number is given once, and with the state that belongs to it. */
static __noinline bool decide_gilbert(const struct chaos_fault *fault, __u64 flow)
{
	struct numbered n = number_flow(fault, flow);

	if (!n.count)
		return false;
	for (int i = 0; i < GILBERT_TRIES; i++) {
		__u32 was = *(volatile __u32 *)n.count;
		__u32 number = was & ~CHAOS_FLOW_BAD;
		__u64 hash = mix64(n.seeded + number * GOLDEN64);
		bool bad = was & CHAOS_FLOW_BAD;
		bool turns;
		__u32 next;

		if (!number)
			bad = mix64(n.seeded ^ GOLDEN64) >> 32 < fault->threshold;
		turns = happens((__u32)hash, bad ? fault->of.gilbert.to_good : fault->of.gilbert.to_bad);
		next = (number + 1) & ~CHAOS_FLOW_BAD;
		if (bad != turns)
			next |= CHAOS_FLOW_BAD;
		if (__sync_val_compare_and_swap(n.count, was, next) == was)
			return happens(hash >> 32, bad ? fault->of.gilbert.bad_loss : fault->of.gilbert.good_loss);
	}
	return false;
}

/* True if the fault refuses this call: by the models that know nothing but the far end. */
static __always_inline bool decide_call(const struct chaos_fault *fault, const struct packet *p, __u64 *flow)
{
	if (!*flow)
		*flow = flow_hash(p);
	if (fault->model == CHAOS_MODEL_PER_PEER)
		return decide_per_peer(fault, p, *flow, CHAOS_EGRESS);
	return decide_random(fault, *flow);
}

/* True if the fault takes this packet. `flow` is filled on first use: 0 means not yet computed. */
static __always_inline bool decide(const struct chaos_fault *fault, const struct packet *p, __u64 *flow,
				   __u32 direction)
{
	if (fault->model == CHAOS_MODEL_RANDOM && !fault->threshold)
		return false;
	if (fault->model == CHAOS_MODEL_RANDOM && fault->threshold >= 1ULL << 32)
		return true;
	if (!*flow)
		*flow = flow_hash(p);
	switch (fault->model) {
	case CHAOS_MODEL_GILBERT:
		return decide_gilbert(fault, *flow);
	case CHAOS_MODEL_EVERY_NTH:
		return decide_every(fault, *flow);
	case CHAOS_MODEL_PER_FLOW:
		return decide_per_flow(fault, p, *flow, direction);
	case CHAOS_MODEL_PER_PEER:
		return decide_per_peer(fault, p, *flow, direction);
	default:
		return decide_random(fault, *flow);
	}
}
