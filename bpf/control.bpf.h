/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The two maps that every program that acts needs: the control page, which the gate asks, and the budgets. */
#pragma once

#include "chaos_abi.h"
#include "kernel_types.bpf.h"

#define CHAOS_ARRAY(name_, value_, entries_)                                                                           \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, entries_);                                                                         \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
		__type(key, __u32);                                                                                    \
		__type(value, value_);                                                                                 \
	} name_ SEC(".maps")

CHAOS_ARRAY(rules, struct chaos_rules, 1);
CHAOS_ARRAY(budgets, struct chaos_budget, CHAOS_MAX_FAULTS);
