/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The maps that all programs share. The daemon creates them with its instance's tag in their names and hands them to
 * each skeleton (bpf_map__reuse_fd); the definitions here must agree in type and size, or the load fails. */
#pragma once

#include "control.bpf.h"

CHAOS_ARRAY(tallies, struct chaos_tally, 1); /* created with one for each possible CPU */
CHAOS_ARRAY(remote_ports, __u64, 65536);
CHAOS_ARRAY(local_ports, __u64, 65536);
CHAOS_ARRAY(protected_ports, __u64, CHAOS_PROTECTED_WORDS);
CHAOS_ARRAY(flow_lines, struct chaos_flow_line, CHAOS_FLOW_LINES);

CHAOS_ARRAY(lines, struct chaos_line, CHAOS_MAX_LINES);
CHAOS_ARRAY(line_marks, __u64, CHAOS_LINE_MARKS); /* what they stand for: mark and type */

/* From the classifier to the program on a line's TAP, which runs next on the same CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct chaos_line_header);
} handovers SEC(".maps");

/* Prefix → faults whose peer filter covers it, shorter prefixes included. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, CHAOS_MAX_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct chaos_prefix_key);
	__type(value, __u64);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct chaos_prefix_key);
	__type(value, __u8);
} protected_peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHAOS_MAX_PROTECTED_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct chaos_tuple);
	__type(value, __u8);
} protected_flows SEC(".maps");

/* Cgroup id (inode number in the v2 tree) → faults that are narrowed to its sockets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHAOS_MAX_CGROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} cgroups SEC(".maps");

/* Thread group id → faults that are narrowed to the sockets that it makes. Number of a socket that was handed over →
 * faults that are narrowed to cgroups and mean it as well. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHAOS_MAX_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u64);
} processes SEC(".maps");

/* Of the sockets that such processes had or have made since, and of those that were handed over; what a listener
 * accepts gets a copy. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct chaos_maker);
} makers SEC(".maps");

/* User, here or anywhere → faults that are narrowed to its sockets. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CHAOS_MAX_UIDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct chaos_user);
	__type(value, __u64);
} uids SEC(".maps");

/* Flows whose line in flow_lines was full: chaos_flow.key → count. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CHAOS_MAX_SPILLED_FLOWS);
	__type(key, __u64);
	__type(value, __u32);
} spilled_flows SEC(".maps");
