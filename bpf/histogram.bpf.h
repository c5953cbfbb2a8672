/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Log-linear histograms: see telemetry_abi.h. Plain C, for a test on the other side as well. */
#pragma once

#include <linux/stddef.h>
#include <linux/types.h>

/* Place of the highest set bit; `value` is not 0. By halving: see lowest_bit() in gate.bpf.h. */
static __always_inline __u32 highest_bit(__u64 value)
{
	__u32 place = 0;

	if (value >> 32) {
		place += 32;
		value >>= 32;
	}
	if (value >> 16) {
		place += 16;
		value >>= 16;
	}
	if (value >> 8) {
		place += 8;
		value >>= 8;
	}
	if (value >> 4) {
		place += 4;
		value >>= 4;
	}
	if (value >> 2) {
		place += 2;
		value >>= 2;
	}
	return place + (value >> 1 ? 1 : 0);
}

static __always_inline __u32 bucket_of(__u64 value)
{
	__u32 place;

	if (value < 8)
		return (__u32)value;
	place = highest_bit(value);
	return (place - 2) << 3 | (__u32)(value >> (place - 3) & 7);
}
