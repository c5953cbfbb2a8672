/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What our programs read of the kernel's cgroups. */
#pragma once

#include "kernel_types.bpf.h"

struct kernfs_node {
	__u64 id;
} __attribute__((preserve_access_index));

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[1]; /* by level, itself included; an array of ids before 6.1 */
} __attribute__((preserve_access_index));
