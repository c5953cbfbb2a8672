/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Matching: which faults do the filters let through? For packets, and for calls that are told as the packet that they
 * would send. */
#pragma once

#include "maps.bpf.h"
#include "packet.bpf.h"
#include <bpf/bpf_core_read.h>

#define CHAOS_NO_UID (~0U)

static __always_inline __u64 mask_at(void *array, __u32 index)
{
	__u64 *mask = bpf_map_lookup_elem(array, &index);

	return mask ? *mask : 0;
}

struct ns_common {
	__u32 inum;
} __attribute__((preserve_access_index));

struct uid_gid_extent {
	__u32 first;
	__u32 lower_first;
	__u32 count;
} __attribute__((preserve_access_index));

#define CHAOS_UID_EXTENTS 5 /* UID_GID_MAP_MAX_BASE_EXTENTS; a map with more keeps them elsewhere */

struct uid_gid_map {
	struct uid_gid_extent extent[CHAOS_UID_EXTENTS];
	__u32 nr_extents;
} __attribute__((preserve_access_index));

struct user_namespace {
	struct uid_gid_map uid_map;
} __attribute__((preserve_access_index));

struct net {
	struct ns_common ns;
	struct user_namespace *user_ns;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} __attribute__((preserve_access_index)) possible_net_t;

struct sock_common {
	possible_net_t skc_net;
} __attribute__((preserve_access_index));

typedef struct {
	__u32 val;
} __attribute__((preserve_access_index)) kuid_t;

struct cgroup;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	kuid_t sk_uid;
	struct sock_cgroup_data sk_cgrp_data;
} __attribute__((preserve_access_index));

/* The verifier does no arithmetic on a socket's pointer, and asks nothing about a number that was read from memory, be
 * it the stack. */
static __always_inline struct sock *number_of(struct bpf_sock *sk)
{
	struct sock *number;

	return bpf_probe_read_kernel(&number, sizeof(number), &sk) ? NULL : number;
}

/* Inode of the network namespace of a full socket. There is no helper for it that all hooks have: bpf_get_netns_cookie
 * came to cgroup_skb with 6.15. */
static __always_inline __u32 socket_netns(struct bpf_sock *sk)
{
	struct sock *number = number_of(sk);

	return number ? BPF_CORE_READ(number, __sk_common.skc_net.net, ns.inum) : 0;
}

/* The user of a full socket, as bpf_get_socket_uid() says it: told by the user namespace that owns the socket's network
 * namespace. Nobody's number where that has none for it. */
static __always_inline __u32 socket_uid(struct bpf_sock *sk)
{
	struct sock *number = number_of(sk);
	struct user_namespace *users;
	__u32 uid, extents;

	if (!number)
		return CHAOS_NO_UID;
	uid = BPF_CORE_READ(number, sk_uid.val);
	users = BPF_CORE_READ(number, __sk_common.skc_net.net, user_ns);
	extents = BPF_CORE_READ(users, uid_map.nr_extents);
	for (__u32 i = 0; i < CHAOS_UID_EXTENTS && i < extents && extents <= CHAOS_UID_EXTENTS; i++) {
		__u32 from = BPF_CORE_READ(users, uid_map.extent[i].lower_first);

		if (uid - from < BPF_CORE_READ(users, uid_map.extent[i].count))
			return uid - from + BPF_CORE_READ(users, uid_map.extent[i].first);
	}
	return CHAOS_NO_UID;
}

/* Faults that are narrowed to this user, anywhere or in the network namespace of this full socket. */
static __always_inline __u64 user_mask(__u32 uid, struct bpf_sock *sk)
{
	struct chaos_user user = {.uid = uid};
	__u64 *anywhere = bpf_map_lookup_elem(&uids, &user);
	__u64 *here;

	user.netns = socket_netns(sk);
	here = bpf_map_lookup_elem(&uids, &user);
	return (anywhere ? *anywhere : 0) | (here ? *here : 0);
}

/* Faults that mean the socket because of who made it, or because it was handed over. */
static __always_inline __u64 mask_of_maker(const struct chaos_maker *maker)
{
	__u64 mask = 0;
	__u64 *faults;

	if (!maker)
		return 0;
	faults = bpf_map_lookup_elem(&processes, &maker->process);
	if (faults)
		mask = *faults;
	if (!maker->handed_over)
		return mask;
	faults = bpf_map_lookup_elem(&processes, &maker->handed_over);
	return faults ? mask | *faults : mask;
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
