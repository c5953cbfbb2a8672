/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Whose events a set of watching programs counts: those of some cgroups (v2) and of what is below them, or all. */
#pragma once

#include "cgroup_types.bpf.h"
#include "control.bpf.h"
#include "telemetry_abi.h"
#include <bpf/bpf_core_read.h>

CHAOS_ARRAY(telemetry_scope, struct chaos_scope, 1);

enum belonging { ANOTHERS = 0, MEANT = 1, NOBODYS = 2 };

static __always_inline const struct chaos_scope *scope_page(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&telemetry_scope, &zero);
}

static __always_inline __u64 ancestor_of(struct cgroup *cgroup, __u32 level)
{
	struct cgroup *ancestor = NULL;
	void *at = (void *)cgroup + bpf_core_field_offset(struct cgroup, ancestors) + sizeof(ancestor) * level;

	if (bpf_probe_read_kernel(&ancestor, sizeof(ancestor), at))
		return 0;
	return BPF_CORE_READ(ancestor, kn, id);
}

static __always_inline enum belonging is_cgroup_meant(const struct chaos_scope *scope, struct cgroup *cgroup)
{
	__u32 depth = BPF_CORE_READ(cgroup, level);
	__u32 count = *(volatile const __u32 *)&scope->count;

	for (__u32 i = 0; i < CHAOS_SCOPE_CGROUPS; i++) {
		__u32 level = scope->cgroups[i].level;

		if (i >= count)
			break;
		if (level <= depth && ancestor_of(cgroup, level) == scope->cgroups[i].id)
			return MEANT;
	}
	return ANOTHERS;
}
