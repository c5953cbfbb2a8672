/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The kernel's names that our programs use, and no more. The packet programs need UAPI only; a program that reads
 * kernel structures declares just those fields here, with preserve_access_index (CO-RE), instead of a vmlinux.h. */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* tcx verdicts (include/uapi/linux/bpf.h since 6.6); clsact reads the same numbers as TC_ACT_UNSPEC and TC_ACT_SHOT. */
#define CHAOS_PASS_ON (-1)
#define CHAOS_DROP 2

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86DD
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88A8
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_RARP 0x8035
#define ETHERTYPE_SLOW 0x8809 /* LACP */
#define ETHERTYPE_EAPOL 0x888E
#define ETHERTYPE_LLDP 0x88CC

#define PROTOCOL_HOPOPTS 0
#define PROTOCOL_ICMP 1
#define PROTOCOL_IGMP 2
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ROUTING 43
#define PROTOCOL_FRAGMENT 44
#define PROTOCOL_AH 51
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_DSTOPTS 60
#define PROTOCOL_DCCP 33
#define PROTOCOL_MOBILITY 135
#define PROTOCOL_SCTP 132
#define PROTOCOL_UDPLITE 136
