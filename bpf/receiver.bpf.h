/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What arrives at a device has no socket yet. Here the one is looked up that it would come to, for faults that are
 * narrowed to sockets and act at devices: TCP and UDP, connections and listeners. Nothing else has one socket: echo
 * requests and ICMP errors, later fragments, multicast, what raw and packet sockets see. */
#pragma once

#include "cgroup_types.bpf.h"
#include "match.bpf.h"
#include "packet.bpf.h"

#define FAMILY_IPV4 2
#define FAMILY_IPV6 10
#define ADDRESSED_TO_THIS_HOST 0 /* __sk_buff.pkt_type: PACKET_HOST of linux/if_packet.h */
#define VLAN_ID 0xfff

struct net_device {
	void *rx_handler;
} __attribute__((preserve_access_index));

struct sk_buff {
	struct net_device *dev;
} __attribute__((preserve_access_index));

/* Somebody takes frames from this device before the network layer sees them: a bridge, a bond, macvlan, ipvlan. */
static __always_inline bool has_taker(struct __sk_buff *skb)
{
	struct __sk_buff *context = skb;
	struct sk_buff *number;

	/* A context cannot be followed; its number can. */
	if (bpf_probe_read_kernel(&number, sizeof(number), &context))
		return true;
	return BPF_CORE_READ(number, dev, rx_handler);
}

/* Whether the network layer of this namespace delivers the packet to itself, from this device. What is forwarded or
 * bridged is nobody's here, though a listener on all addresses would be found for it; what carries the tag of a VLAN
 * comes once more, at the VLAN's own device. */
static __always_inline bool ends_here(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup route;
	long result;

	if (skb->pkt_type != ADDRESSED_TO_THIS_HOST || (skb->vlan_present && skb->vlan_tci & VLAN_ID))
		return false;
	__builtin_memset(&route, 0, sizeof(route));
	route.ifindex = skb->ifindex;
	route.l4_protocol = p->protocol;
	if (p->ethertype == ETHERTYPE_IPV4) {
		route.family = FAMILY_IPV4;
		route.ipv4_src = p->source[3];
		route.ipv4_dst = p->destination[3];
	} else {
		route.family = FAMILY_IPV6;
		__builtin_memcpy(route.ipv6_src, p->source, 16);
		__builtin_memcpy(route.ipv6_dst, p->destination, 16);
	}
	result = bpf_fib_lookup(skb, &route, sizeof(route), 0);
	/* Where nothing is forwarded the helper says no more than that: what is not for this host is lost then. */
	return result == BPF_FIB_LKUP_RET_NOT_FWDED || (result == BPF_FIB_LKUP_RET_FWD_DISABLED && !has_taker(skb));
}

/* To be released. A connection that is being made is its listener's. */
static __always_inline struct bpf_sock *find_receiver(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple tuple;
	__u32 size;

	__builtin_memset(&tuple, 0, sizeof(tuple));
	if (p->ethertype == ETHERTYPE_IPV4) {
		tuple.ipv4.saddr = p->source[3];
		tuple.ipv4.daddr = p->destination[3];
		tuple.ipv4.sport = bpf_htons(p->source_port);
		tuple.ipv4.dport = bpf_htons(p->destination_port);
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, p->source, 16);
		__builtin_memcpy(tuple.ipv6.daddr, p->destination, 16);
		tuple.ipv6.sport = bpf_htons(p->source_port);
		tuple.ipv6.dport = bpf_htons(p->destination_port);
		size = sizeof(tuple.ipv6);
	}
	if (p->protocol == PROTOCOL_TCP)
		return bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	return bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
}

static __always_inline __u64 ancestor_id(struct cgroup *cgroup, __u32 level)
{
	struct cgroup *ancestor = NULL;
	void *at = (void *)cgroup + bpf_core_field_offset(struct cgroup, ancestors) + sizeof(ancestor) * level;

	if (bpf_probe_read_kernel(&ancestor, sizeof(ancestor), at))
		return 0;
	return BPF_CORE_READ(ancestor, kn, id);
}

/* Faults that are narrowed to the cgroups of this socket. bpf_sk_ancestor_cgroup_id() is not for programs of tc. */
static __always_inline __u64 cgroups_mask(struct bpf_sock *sk, __u32 levels)
{
	struct sock *number = number_of(sk);
	struct cgroup *cgroup;
	__u64 mask = 0;
	__u32 depth;

	if (!number)
		return 0;
	cgroup = BPF_CORE_READ(number, sk_cgrp_data.cgroup);
	depth = BPF_CORE_READ(cgroup, level);
	for (__u32 level = 0; level < CHAOS_MAX_CGROUP_LEVELS && level <= depth; level++) {
		__u64 id, *faults;

		if (!(levels >> level))
			break;
		if (!(levels >> level & 1))
			continue;
		id = ancestor_id(cgroup, level);
		faults = bpf_map_lookup_elem(&cgroups, &id);
		if (faults)
			mask |= *faults;
	}
	return mask;
}

/* Those of `mask` that this packet's receiver is meant by. A global function: most packets never come here, and the
 * verifier walks it once. */
__noinline __u64 match_receiver(struct __sk_buff *skb, struct packet *p, __u64 mask)
{
	__u32 zero = 0;
	const struct chaos_rules *page = bpf_map_lookup_elem(&rules, &zero);
	const struct chaos_control *any;
	struct bpf_sock *sk = NULL;
	__u64 meant;

	if (!p || !page)
		return 0;
	any = &page->control;
	if (p->flags & PACKET_PORTS && (p->protocol == PROTOCOL_TCP || p->protocol == PROTOCOL_UDP) &&
	    ends_here(skb, p))
		sk = find_receiver(skb, p);
	if (!sk)
		return mask & any->any_socket & any->any_uid;
	if (mask & ~any->any_socket) {
		meant = any->any_socket | cgroups_mask(sk, any->cgroup_levels);
		if (mask & (~any->any_process | any->handed_over))
			meant |= mask_of_maker(bpf_sk_storage_get(&makers, sk, NULL, 0));
		mask &= meant;
	}
	if (mask & ~any->any_uid)
		mask &= any->any_uid | user_mask(socket_uid(sk), sk);
	bpf_sk_release(sk);
	return mask;
}
