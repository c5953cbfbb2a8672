/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Parsing: from an skb at a tc hook to what filters look at. Fails open: what cannot be decoded keeps the layers that
 * could, and the flags say so. */
#pragma once

#include "chaos_abi.h"
#include "kernel_types.bpf.h"

enum packet_flags {
	PACKET_IP = 1,		/* addresses are valid */
	PACKET_PORTS = 2,	/* ports are valid */
	PACKET_FRAGMENT = 4,	/* not the first fragment: no transport header */
	PACKET_BROKEN = 8,	/* a header was cut short or too deep */
	PACKET_LINK_LOCAL = 16, /* sent to 01:80:c2:00:00:0x: bridge and link control */
};

struct packet {
	__u32 source[4]; /* network order; IPv4 as ::ffff:a.b.c.d */
	__u32 destination[4];
	__u16 source_port; /* host order */
	__u16 destination_port;
	__u16 ethertype; /* innermost, host order */
	__u8 protocol;	 /* transport, behind IPv6 extension headers */
	__u8 icmp_type;
	__u32 flags;
	__u32 transport; /* offset of the transport header from skb->data */
};

/* From the linear part where it reaches, else through the helper. `length` is a constant. Returns false past the end.
 */
static __always_inline bool read_bytes(struct __sk_buff *skb, __u32 offset, void *to, const __u32 length)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (offset <= 128 && data + offset + length <= end) {
		__builtin_memcpy(to, data + offset, length);
		return true;
	}
	return !bpf_skb_load_bytes(skb, offset, to, length);
}

static __always_inline void set_mapped(__u32 address[4], __be32 ipv4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = bpf_htonl(0xffff);
	address[3] = ipv4;
}

/* Returns the offset of the layer-3 header. Up to two VLAN tags in the frame; an offloaded tag is not in the frame. */
static __always_inline __u32 parse_ethernet(struct __sk_buff *skb, struct packet *p)
{
	struct {
		__u8 destination[6];
		__u8 source[6];
		__be16 type;
	} __attribute__((packed)) eth;
	struct {
		__be16 tci;
		__be16 type;
	} tag;
	__u32 offset = sizeof(eth);

	if (!read_bytes(skb, 0, &eth, sizeof(eth))) {
		p->flags |= PACKET_BROKEN;
		return offset;
	}
	if (eth.destination[0] == 0x01 && eth.destination[1] == 0x80 && eth.destination[2] == 0xc2 &&
	    !eth.destination[3] && !eth.destination[4] && eth.destination[5] < 0x10)
		p->flags |= PACKET_LINK_LOCAL;
	p->ethertype = bpf_ntohs(eth.type);
	for (int i = 0; i < 2; i++) {
		if (p->ethertype != ETHERTYPE_VLAN && p->ethertype != ETHERTYPE_QINQ)
			break;
		if (bpf_skb_load_bytes(skb, offset, &tag, sizeof(tag))) {
			p->flags |= PACKET_BROKEN;
			break;
		}
		p->ethertype = bpf_ntohs(tag.type);
		offset += sizeof(tag);
	}
	return offset;
}

static __always_inline void parse_ipv4(struct __sk_buff *skb, __u32 offset, struct packet *p)
{
	struct {
		__u8 version_ihl, tos;
		__be16 length, id, fragment;
		__u8 ttl, protocol;
		__be16 checksum;
		__be32 source, destination;
	} ip;

	if (!read_bytes(skb, offset, &ip, sizeof(ip)) || ip.version_ihl >> 4 != 4) {
		p->flags |= PACKET_BROKEN;
		return;
	}
	set_mapped(p->source, ip.source);
	set_mapped(p->destination, ip.destination);
	p->protocol = ip.protocol;
	p->flags |= PACKET_IP;
	if (ip.fragment & bpf_htons(0x1fff))
		p->flags |= PACKET_FRAGMENT;
	p->transport = offset + (ip.version_ihl & 0xf) * 4;
}

/* Extension headers: hop-by-hop, routing, destination options, mobility, AH and fragment, eight at most. */
static __always_inline void parse_ipv6(struct __sk_buff *skb, __u32 offset, struct packet *p)
{
	struct {
		__be32 flow;
		__be16 length;
		__u8 next, hops;
		__u32 source[4], destination[4];
	} ip;
	struct {
		__u8 next, length;
		__be16 fragment;
	} ext;
	__u8 next;

	if (!read_bytes(skb, offset, &ip, sizeof(ip)) || (bpf_ntohl(ip.flow) >> 28) != 6) {
		p->flags |= PACKET_BROKEN;
		return;
	}
	__builtin_memcpy(p->source, ip.source, 16);
	__builtin_memcpy(p->destination, ip.destination, 16);
	p->flags |= PACKET_IP;
	next = ip.next;
	offset += sizeof(ip);
	for (int i = 0; i < 8; i++) {
		if (next != PROTOCOL_HOPOPTS && next != PROTOCOL_ROUTING && next != PROTOCOL_DSTOPTS &&
		    next != PROTOCOL_MOBILITY && next != PROTOCOL_FRAGMENT && next != PROTOCOL_AH)
			goto found;
		if (bpf_skb_load_bytes(skb, offset, &ext, sizeof(ext))) {
			p->flags |= PACKET_BROKEN;
			return;
		}
		if (next == PROTOCOL_FRAGMENT) {
			offset += 8;
			if (ext.fragment & bpf_htons(0xfff8)) {
				/* What follows is data: no header of this packet can be read there. */
				p->flags |= PACKET_FRAGMENT;
				next = ext.next;
				goto found;
			}
		} else if (next == PROTOCOL_AH) {
			offset += (ext.length + 2) * 4;
		} else {
			offset += (ext.length + 1) * 8;
		}
		next = ext.next;
	}
	p->flags |= PACKET_BROKEN;
	return;
found:
	p->protocol = next;
	p->transport = offset;
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP ||
	       protocol == PROTOCOL_DCCP || protocol == PROTOCOL_UDPLITE;
}

static __always_inline void parse_transport(struct __sk_buff *skb, struct packet *p)
{
	__be16 ports[2];

	if (!(p->flags & PACKET_IP) || p->flags & (PACKET_FRAGMENT | PACKET_BROKEN))
		return;
	if (has_ports(p->protocol)) {
		if (!read_bytes(skb, p->transport, ports, sizeof(ports))) {
			p->flags |= PACKET_BROKEN;
			return;
		}
		p->source_port = bpf_ntohs(ports[0]);
		p->destination_port = bpf_ntohs(ports[1]);
		p->flags |= PACKET_PORTS;
	} else if (p->protocol == PROTOCOL_ICMP || p->protocol == PROTOCOL_ICMPV6) {
		if (bpf_skb_load_bytes(skb, p->transport, &p->icmp_type, 1))
			p->flags |= PACKET_BROKEN;
	}
}

/* The remote address as a look-up key. */
static __always_inline void peer_key(struct chaos_prefix_key *key, const struct packet *p, __u32 direction)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->prefix_bits = CHAOS_PREFIX_HOST;
	key->family = p->ethertype == ETHERTYPE_IPV4 ? 4 : 6;
	__builtin_memcpy(key->address, direction == CHAOS_EGRESS ? p->destination : p->source, 16);
}

/* `p` is all zero on entry. */
static __always_inline void parse_packet(struct __sk_buff *skb, __u32 l2_len, struct packet *p)
{
	__u32 offset = 0;

	if (l2_len)
		offset = parse_ethernet(skb, p);
	else
		p->ethertype = bpf_ntohs((__u16)skb->protocol);
	if (p->ethertype == ETHERTYPE_IPV4)
		parse_ipv4(skb, offset, p);
	else if (p->ethertype == ETHERTYPE_IPV6)
		parse_ipv6(skb, offset, p);
	parse_transport(skb, p);
}
