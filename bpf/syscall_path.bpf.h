/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Filters by path: what the kernel calls a file, seen from the caller's root directory, behind symbolic links and
 * through the mounts that the caller has. */
#pragma once

#include "syscall.bpf.h"

#define SEEN_PATH 256	/* longer ones are not matched */
#define GLOB_STEPS 2048 /* at most: each step moves on by a character, or tries a star again */

struct glob {
	char *path;
	__u32 at;      /* in the path */
	__u32 pattern; /* in the pattern */
	__u32 star;    /* behind the last star in the pattern; 0: none so far */
	__u32 star_at; /* where in the path it was tried last */
	__u32 outcome; /* 0: not known yet; 1: it fits; 2: it does not */
};

/* One step of a match with `*` and `?`; a star takes any characters, `/` as well. */
static long step_glob(__u32 index, struct glob *glob)
{
	__u32 zero = 0;
	const struct chaos_syscall_rule *rule = bpf_map_lookup_elem(&syscall_rule, &zero);
	char wanted, found;

	if (!rule) {
		glob->outcome = 2;
		return 1;
	}
	wanted = rule->path[glob->pattern & (CHAOS_SYSCALL_PATH - 1)];
	found = glob->path[glob->at & (SEEN_PATH - 1)];
	if (wanted == '*') {
		glob->pattern++;
		glob->star = glob->pattern;
		glob->star_at = glob->at;
		return 0;
	}
	if (!found && !wanted) {
		glob->outcome = 1;
		return 1;
	}
	if (found && (wanted == '?' || wanted == found)) {
		glob->pattern++;
		glob->at++;
		return 0;
	}
	if (!glob->star || !glob->path[glob->star_at & (SEEN_PATH - 1)]) {
		glob->outcome = 2;
		return 1;
	}
	glob->star_at++;
	glob->at = glob->star_at;
	glob->pattern = glob->star;
	return 0;
}

/* Itself, and what is below it. */
static __always_inline bool fits_prefix(const struct chaos_syscall_rule *rule, const char *path)
{
	bool behind_slash = false;

	for (__u32 i = 0; i < CHAOS_SYSCALL_PATH; i++) {
		if (!rule->path[i])
			return behind_slash || !path[i] || path[i] == '/';
		behind_slash = rule->path[i] == '/';
		if (path[i] != rule->path[i])
			return false;
	}
	return false;
}

static __always_inline bool is_meant_path(const struct chaos_syscall_rule *rule, struct path *path)
{
	char seen[SEEN_PATH] = {};
	__u32 nought = *(volatile const __u32 *)&rule->nought;
	/* Before Linux 6.7 the verifier walked a callback once, and took what it knew of the first call for all: it
	 * must know nothing. */
	struct glob glob = {
		.path = seen, .at = nought, .pattern = nought, .star = nought, .star_at = nought, .outcome = nought};

	if (bpf_d_path(path, seen, sizeof(seen)) <= 0)
		return false;
	if (rule->path_form == CHAOS_PATH_PREFIX)
		return fits_prefix(rule, seen);
	bpf_loop(GLOB_STEPS, step_glob, &glob, 0);
	return glob.outcome == 1;
}
