// SPDX-License-Identifier: GPL-2.0 OR MIT
/* System calls failed at the kernel's security hooks, of which only those are loaded that the calls pass. As programs
 * of BPF LSM, or of the functions that call all security modules (fmod_ret/security_*): the arguments are the same. */
#include "errno.bpf.h"
#include "syscall.bpf.h"
#include "syscall_path.bpf.h"

static __always_inline long judge(enum chaos_syscall_hook hook)
{
	struct judged j = {};

	return is_meant(&j, hook, NO_NUMBER) && !j.rule->path_form ? negative_errno(verdict(&j, false)) : 0;
}

/* The same for calls that are about a file whose name the kernel tells here. */
static __always_inline long judge_path(enum chaos_syscall_hook hook, struct path *path, __u32 io_uring)
{
	struct judged j = {};

	if (!is_meant(&j, hook, io_uring))
		return 0;
	if (j.rule->path_form && !is_meant_path(j.rule, path))
		return 0;
	return negative_errno(verdict(&j, false));
}

SEC("lsm/file_open")
long fail_file_open(unsigned long long *ctx)
{
	return judge_path(CHAOS_HOOK_FILE_OPEN, &((struct file *)ctx[0])->f_path, NO_NUMBER);
}

/* What a ring asks for at file_permission. */
static __always_inline __u32 io_uring_request(const unsigned long long *ctx)
{
	return (int)ctx[1] & MAY_WRITE ? CHAOS_IO_URING_WRITE : CHAOS_IO_URING_READ;
}

SEC("lsm/file_permission")
long fail_file_permission(unsigned long long *ctx)
{
	return judge_path(CHAOS_HOOK_FILE_PERMISSION, &((struct file *)ctx[0])->f_path, io_uring_request(ctx));
}

SEC("lsm/inode_getattr")
long fail_inode_getattr(unsigned long long *ctx)
{
	return judge_path(CHAOS_HOOK_INODE_GETATTR, (struct path *)ctx[0], NO_NUMBER);
}

/* BPF LSM may not ask for a path at file_permission: for rules without one. */
SEC("lsm/file_permission")
long fail_file_permission_plain(unsigned long long *ctx)
{
	struct judged j = {};

	return is_meant(&j, CHAOS_HOOK_FILE_PERMISSION, io_uring_request(ctx)) ? negative_errno(verdict(&j, false)) : 0;
}

#define PLAIN_HOOK(name, hook)                                                                                         \
	SEC("lsm/" #name) long fail_##name(unsigned long long *ctx)                                                    \
	{                                                                                                              \
		return judge(hook);                                                                                    \
	}

PLAIN_HOOK(file_truncate, CHAOS_HOOK_FILE_TRUNCATE)
PLAIN_HOOK(path_truncate, CHAOS_HOOK_PATH_TRUNCATE)
PLAIN_HOOK(inode_rename, CHAOS_HOOK_INODE_RENAME)
PLAIN_HOOK(inode_unlink, CHAOS_HOOK_INODE_UNLINK)
PLAIN_HOOK(inode_rmdir, CHAOS_HOOK_INODE_RMDIR)
PLAIN_HOOK(inode_mkdir, CHAOS_HOOK_INODE_MKDIR)
PLAIN_HOOK(inode_symlink, CHAOS_HOOK_INODE_SYMLINK)
PLAIN_HOOK(inode_link, CHAOS_HOOK_INODE_LINK)
PLAIN_HOOK(mmap_file, CHAOS_HOOK_MMAP_FILE)
PLAIN_HOOK(file_mprotect, CHAOS_HOOK_FILE_MPROTECT)
PLAIN_HOOK(file_ioctl, CHAOS_HOOK_FILE_IOCTL)
PLAIN_HOOK(file_lock, CHAOS_HOOK_FILE_LOCK)
PLAIN_HOOK(bprm_check_security, CHAOS_HOOK_BPRM_CHECK_SECURITY)
PLAIN_HOOK(task_alloc, CHAOS_HOOK_TASK_ALLOC)
PLAIN_HOOK(task_kill, CHAOS_HOOK_TASK_KILL)
PLAIN_HOOK(socket_create, CHAOS_HOOK_SOCKET_CREATE)
PLAIN_HOOK(socket_connect, CHAOS_HOOK_SOCKET_CONNECT)
PLAIN_HOOK(socket_bind, CHAOS_HOOK_SOCKET_BIND)
PLAIN_HOOK(socket_listen, CHAOS_HOOK_SOCKET_LISTEN)
PLAIN_HOOK(socket_accept, CHAOS_HOOK_SOCKET_ACCEPT)
PLAIN_HOOK(socket_sendmsg, CHAOS_HOOK_SOCKET_SENDMSG)
PLAIN_HOOK(socket_recvmsg, CHAOS_HOOK_SOCKET_RECVMSG)
PLAIN_HOOK(socket_setsockopt, CHAOS_HOOK_SOCKET_SETSOCKOPT)
PLAIN_HOOK(socket_getsockopt, CHAOS_HOOK_SOCKET_GETSOCKOPT)
PLAIN_HOOK(socket_shutdown, CHAOS_HOOK_SOCKET_SHUTDOWN)

char LICENSE[] SEC("license") = "Dual MIT/GPL";
