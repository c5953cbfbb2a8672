/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What decisions are hashed by. */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

#include "chaos_abi.h"

/* Finalizer of splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). */
static __always_inline __u64 mix64(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

#define GOLDEN64 0x9e3779b97f4a7c15ULL

static __always_inline bool happens(__u32 hash, __u32 probability)
{
	return hash < probability || probability == CHAOS_ALWAYS32;
}
