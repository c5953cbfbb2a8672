/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Errnos as the verifier wants them where a program says what a call returns: from -4095 to 0. In all 64 bits, for it
 * takes the upper half of an int for zero. */
#pragma once

#include "kernel_types.bpf.h"

#define LOWEST_ERRNO (-4095)

/* 0 for 0, and for what is none. */
static __always_inline long negative_errno(__u32 error)
{
	long value = -(long)error;

	barrier_var(value);
	return value < LOWEST_ERRNO || value > 0 ? 0 : value;
}

/* bpf_set_retval() of Linux 7.2 and newer looks at its argument (kernel/bpf/verifier.c, BPF_FUNC_set_retval). */
static long (*const set_return_value)(long value) = (void *)BPF_FUNC_set_retval;
