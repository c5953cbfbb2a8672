// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The two ends of a delay line in the kernel: what goes into its TAP gets a header that says what it is, and what user
 * space writes to the TAP goes on to where it was going. Loaded once for each line. */
#include "maps.bpf.h"

const volatile __u32 line_number = 0;

/* Packets by CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} line_numbers SEC(".maps");

/* The TAP's egress. What the classifier did not announce is somebody else's, a neighbour search or a multicast report:
 * it has no business here. */
SEC("tc")
int chaos_line_in(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct chaos_line_header *announced = bpf_map_lookup_elem(&handovers, &zero);
	__u32 *number = bpf_map_lookup_elem(&line_numbers, &zero);
	struct chaos_line_header header;

	if (!announced || !number || announced->magic != CHAOS_LINE_MAGIC)
		return CHAOS_DROP;
	header = *announced;
	announced->magic = 0;
	header.tagged = skb->vlan_present;
	header.cpu = bpf_get_smp_processor_id();
	header.number = ++*number;
	if (bpf_skb_change_head(skb, sizeof(header), 0) || bpf_skb_store_bytes(skb, 0, &header, sizeof(header), 0))
		return CHAOS_DROP;
	return CHAOS_PASS_ON;
}

/* The TAP's ingress, within the write of user space. */
SEC("tc")
int chaos_line_out(struct __sk_buff *skb)
{
	__u32 number = line_number;
	struct chaos_line *line = bpf_map_lookup_elem(&lines, &number);

	if (!line || !line->ifindex)
		return CHAOS_DROP;
	skb->mark = line->mark;
	skb->priority = line->priority;
	skb->queue_mapping = (__u16)line->queue;
	line->returned++;
	return (int)bpf_redirect(line->ifindex, line->direction == CHAOS_INGRESS ? BPF_F_INGRESS : 0);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
