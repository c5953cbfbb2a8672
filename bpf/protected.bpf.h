/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Traffic that no packet fault may hit: what a host needs to stay reachable (ARP, ND, MLD, IGMP, DHCP, link control),
 * SSH, and what the configuration adds. Where a header that could have named a protected port is missing (later
 * fragments, cut packets), the packet is spared. */
#pragma once

#include "maps.bpf.h"
#include "packet.bpf.h"

static __always_inline bool protected_ethertype(const struct packet *p)
{
	return p->flags & PACKET_LINK_LOCAL || p->ethertype == ETHERTYPE_ARP || p->ethertype == ETHERTYPE_RARP ||
	       p->ethertype == ETHERTYPE_SLOW || p->ethertype == ETHERTYPE_EAPOL || p->ethertype == ETHERTYPE_LLDP;
}

static __always_inline bool port_listed(const struct chaos_rules *page, __u8 protocol, __u16 port)
{
	enum chaos_transport transport = protocol == PROTOCOL_TCP ? CHAOS_TCP : CHAOS_UDP;
	__u32 word = (transport == CHAOS_TCP ? CHAOS_PROTECTED_TCP : CHAOS_PROTECTED_UDP) + (port >> 6);
	__u32 summary = port % CHAOS_PROTECTED_SUMMARY_BITS;
	__u64 *bits;

	if (!(page->protected_summary[transport][summary >> 6] >> (summary & 63) & 1))
		return false;
	bits = bpf_map_lookup_elem(&protected_ports, &word);
	return bits && (*bits >> (port & 63)) & 1;
}

static __always_inline bool protected_transport(const struct chaos_rules *page, __u8 protocol, __u16 source_port,
						__u16 destination_port)
{
	if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
		return false;
	return port_listed(page, protocol, source_port) || port_listed(page, protocol, destination_port);
}

static __always_inline bool protected_icmpv6(__u8 type)
{
	return (type >= 130 && type <= 137) || type == 143; /* MLD, RS, RA, NS, NA, redirect, MLDv2 */
}

/* ICMP errors quote the packet they are about: those about protected ports are part of that conversation. */
static __always_inline bool protected_quote(struct __sk_buff *skb, const struct chaos_rules *page,
					    const struct packet *p)
{
	__u32 quoted = p->transport + 8;
	__be16 ports[2];
	__u8 protocol;

	if (p->protocol == PROTOCOL_ICMP) {
		__u8 version_ihl;

		if (p->icmp_type != 3 && p->icmp_type != 11 && p->icmp_type != 12)
			return false;
		if (bpf_skb_load_bytes(skb, quoted, &version_ihl, 1) ||
		    bpf_skb_load_bytes(skb, quoted + 9, &protocol, 1))
			return true;
		quoted += (version_ihl & 0xf) * 4;
	} else {
		if (p->icmp_type < 1 || p->icmp_type > 4)
			return false;
		if (bpf_skb_load_bytes(skb, quoted + 6, &protocol, 1))
			return true;
		quoted += 40;
	}
	if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
		return false;
	if (bpf_skb_load_bytes(skb, quoted, ports, sizeof(ports)))
		return true;
	return protected_transport(page, protocol, bpf_ntohs(ports[0]), bpf_ntohs(ports[1]));
}

static __always_inline bool protected_flow(const struct packet *p, __u32 direction)
{
	struct chaos_tuple tuple;

	__builtin_memset(&tuple, 0, sizeof(tuple));
	__builtin_memcpy(tuple.local_address, direction == CHAOS_EGRESS ? p->source : p->destination, 16);
	__builtin_memcpy(tuple.remote_address, direction == CHAOS_EGRESS ? p->destination : p->source, 16);
	tuple.local_port = direction == CHAOS_EGRESS ? p->source_port : p->destination_port;
	tuple.remote_port = direction == CHAOS_EGRESS ? p->destination_port : p->source_port;
	return bpf_map_lookup_elem(&protected_flows, &tuple);
}

static __always_inline bool protected_peer(const struct chaos_rules *page, const struct packet *p, __u32 direction)
{
	struct chaos_prefix_key key;

	if (!page->control.protect_peers)
		return false;
	peer_key(&key, p, direction);
	return bpf_map_lookup_elem(&protected_peers, &key);
}

static __always_inline bool protected_packet(struct __sk_buff *skb, const struct chaos_rules *page,
					     const struct packet *p, __u32 direction)
{
	if (protected_ethertype(p))
		return true;
	if (!(p->flags & PACKET_IP))
		return p->ethertype == ETHERTYPE_IPV4 || p->ethertype == ETHERTYPE_IPV6;
	if (p->protocol == PROTOCOL_IGMP || p->flags & PACKET_BROKEN)
		return true;
	if (p->flags & PACKET_FRAGMENT)
		return p->protocol == PROTOCOL_TCP || p->protocol == PROTOCOL_UDP;
	if (p->protocol == PROTOCOL_ICMPV6 && protected_icmpv6(p->icmp_type))
		return true;
	if ((p->protocol == PROTOCOL_ICMP || p->protocol == PROTOCOL_ICMPV6) && protected_quote(skb, page, p))
		return true;
	if (protected_transport(page, p->protocol, p->source_port, p->destination_port))
		return true;
	if (protected_peer(page, p, direction))
		return true;
	return page->control.protect_flows && p->protocol == PROTOCOL_TCP && protected_flow(p, direction);
}
