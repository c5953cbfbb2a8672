// SPDX-License-Identifier: GPL-2.0 OR MIT
/* System calls failed at the hooks that cgroups have in the network layer: everywhere, for internet sockets and, of
 * options, for all. At the root of the tree, because it is the caller that is meant, and not who made the socket. */
#include "errno.bpf.h"
#include "syscall.bpf.h"

#define CALL_PROCEEDS 1
#define CALL_REFUSED 0
#define OPTION_BYTES 4096 /* the kernel shows a program no more of an option than a page */

static __always_inline int judge(enum chaos_syscall_hook hook)
{
	struct judged j = {};
	__u32 error;

	if (!is_meant(&j, hook, NO_NUMBER))
		return CALL_PROCEEDS;
	error = j.rule->path_form ? 0 : verdict(&j, bpf_get_retval() < 0);
	if (!error)
		return CALL_PROCEEDS;
	set_return_value(negative_errno(error));
	return CALL_REFUSED;
}

#define ADDRESS_HOOK(name, hook)                                                                                       \
	SEC("cgroup/" #name) int fail_##name(struct bpf_sock_addr *ctx)                                                \
	{                                                                                                              \
		return judge(hook);                                                                                    \
	}

ADDRESS_HOOK(connect4, CHAOS_HOOK_CONNECT)
ADDRESS_HOOK(connect6, CHAOS_HOOK_CONNECT)
ADDRESS_HOOK(bind4, CHAOS_HOOK_BIND)
ADDRESS_HOOK(bind6, CHAOS_HOOK_BIND)
ADDRESS_HOOK(sendmsg4, CHAOS_HOOK_SENDMSG)
ADDRESS_HOOK(sendmsg6, CHAOS_HOOK_SENDMSG)

SEC("cgroup/sock_create")
int fail_socket(struct bpf_sock *ctx)
{
	return judge(CHAOS_HOOK_SOCK_CREATE);
}

/* An option that is longer than what a program is shown passes as it is only if the program says so. */
static __always_inline void pass_long_option(struct bpf_sockopt *ctx)
{
	if (ctx->optlen > OPTION_BYTES)
		ctx->optlen = 0;
}

SEC("cgroup/setsockopt")
int fail_setsockopt(struct bpf_sockopt *ctx)
{
	pass_long_option(ctx);
	return judge(CHAOS_HOOK_SETSOCKOPT);
}

/* Runs behind the call: one that has failed by itself is left as it is. */
SEC("cgroup/getsockopt")
int fail_getsockopt(struct bpf_sockopt *ctx)
{
	pass_long_option(ctx);
	return bpf_get_retval() < 0 ? CALL_PROCEEDS : judge(CHAOS_HOOK_GETSOCKOPT);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
