/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the programs that fail system calls share with the daemon: one rule, its state and its counts. Each such fault
 * has maps of its own; the gate is everybody's (chaos_control). Plain C for both sides. */
#pragma once

#include "chaos_abi.h"

#define CHAOS_SYSCALL_NUMBERS 512 /* the kernel's are below; the last ones stand for what has none */
#define CHAOS_IO_URING_READ 510
#define CHAOS_IO_URING_WRITE 511
#define CHAOS_SYSCALL_ERRNOS 8
#define CHAOS_SYSCALL_CGROUPS 16
#define CHAOS_SYSCALL_UIDS 16
#define CHAOS_SYSCALL_PATH 128 /* of a filter, with its end */
#define CHAOS_SPARED_PROCESSES 4
#define CHAOS_SPARED_NAMES 24
#define CHAOS_NAME_SIZE 16 /* TASK_COMM_LEN */

/* Where a call is met. A hook means only those calls that are listed for it: others pass it as well. */
enum chaos_syscall_hook {
	CHAOS_HOOK_ENTRY = 0, /* of the call itself */
	/* At cgroups. */
	CHAOS_HOOK_CONNECT,
	CHAOS_HOOK_BIND,
	CHAOS_HOOK_SENDMSG,
	CHAOS_HOOK_SOCK_CREATE,
	CHAOS_HOOK_SETSOCKOPT,
	CHAOS_HOOK_GETSOCKOPT,
	/* Of security modules, by their names there. */
	CHAOS_HOOK_FILE_OPEN,
	CHAOS_HOOK_FILE_PERMISSION,
	CHAOS_HOOK_INODE_GETATTR,
	CHAOS_HOOK_FILE_TRUNCATE,
	CHAOS_HOOK_PATH_TRUNCATE,
	CHAOS_HOOK_INODE_RENAME,
	CHAOS_HOOK_INODE_UNLINK,
	CHAOS_HOOK_INODE_RMDIR,
	CHAOS_HOOK_INODE_MKDIR,
	CHAOS_HOOK_INODE_SYMLINK,
	CHAOS_HOOK_INODE_LINK,
	CHAOS_HOOK_MMAP_FILE,
	CHAOS_HOOK_FILE_MPROTECT,
	CHAOS_HOOK_FILE_IOCTL,
	CHAOS_HOOK_FILE_LOCK,
	CHAOS_HOOK_BPRM_CHECK_SECURITY,
	CHAOS_HOOK_TASK_ALLOC,
	CHAOS_HOOK_TASK_KILL,
	CHAOS_HOOK_SOCKET_CREATE,
	CHAOS_HOOK_SOCKET_CONNECT,
	CHAOS_HOOK_SOCKET_BIND,
	CHAOS_HOOK_SOCKET_LISTEN,
	CHAOS_HOOK_SOCKET_ACCEPT,
	CHAOS_HOOK_SOCKET_SENDMSG,
	CHAOS_HOOK_SOCKET_RECVMSG,
	CHAOS_HOOK_SOCKET_SETSOCKOPT,
	CHAOS_HOOK_SOCKET_GETSOCKOPT,
	CHAOS_HOOK_SOCKET_SHUTDOWN,
	CHAOS_SYSCALL_HOOKS
};

enum chaos_caller {
	CHAOS_CALLER_CGROUP = 0,  /* who is in one of these cgroups or below */
	CHAOS_CALLER_PROCESS = 1, /* who is in the table of members */
	CHAOS_CALLER_ANY = 2,	  /* whoever the user filter lets through */
};

enum chaos_path_form { CHAOS_PATH_ANY = 0, CHAOS_PATH_PREFIX = 1, CHAOS_PATH_GLOB = 2 };

/* One errno of a list, and the share of those up to it, in 32 bits. */
struct chaos_errno_share {
	__u32 number;
	__u32 up_to;
};

struct chaos_caller_cgroup {
	__u64 id;
	__u32 level;
	__u32 pad;
};

/* Written by user space while `active` is 0; then only `active`, cgroup_count and cgroups. The first of the spared
 * processes is the daemon. */
struct chaos_syscall_rule {
	struct chaos_fault fault; /* seed, threshold, deadline, max_events, flags */
	__u32 active;
	__u32 caller;
	__u32 cgroup_count;
	__u32 uid_count; /* 0: any user */
	__u32 netns;	 /* inode; 0: any */
	__u32 errno_count;
	__u64 first;	/* only so many of the calls that match; 0: all */
	__u64 every;	/* of these every so many-th; 0: by the threshold */
	__u64 min_size; /* of the buffer, in bytes */
	__u32 fd_types; /* bit per S_IFMT >> 12; 0: any */
	__u32 path_form;
	__u32 nought; /* 0, which the verifier does not know: see syscall_path.bpf.h */
	__u32 pad;
	struct chaos_errno_share errnos[CHAOS_SYSCALL_ERRNOS];
	__u64 numbers[CHAOS_SYSCALL_HOOKS][CHAOS_SYSCALL_NUMBERS / 64];
	struct chaos_caller_cgroup cgroups[CHAOS_SYSCALL_CGROUPS];
	__u32 uids[CHAOS_SYSCALL_UIDS];
	__u32 spared_processes[CHAOS_SPARED_PROCESSES];
	char spared_names[CHAOS_SPARED_NAMES][CHAOS_NAME_SIZE];
	char path[CHAOS_SYSCALL_PATH];
};

/* Each call that matches gets a number, whoever makes it. */
struct chaos_syscall_state {
	__u64 next;
	__u64 pad[7];
};

/* Per CPU. The programs may be preempted and go on on another one: by atomics. */
struct chaos_syscall_tally {
	struct chaos_counters counters;
	__u64 evaluated;
	__u64 pad[5];
};

/* Of those injected: by call and by place in the list of errnos. */
struct chaos_syscall_outcomes {
	__u64 injected[CHAOS_SYSCALL_NUMBERS][CHAOS_SYSCALL_ERRNOS];
};

CHAOS_ASSERT_SIZE(chaos_syscall_rule, 64 + 24 + 24 + 16 + 64 + 64 * CHAOS_SYSCALL_HOOKS + 256 + 64 + 16 +
					      CHAOS_SPARED_NAMES * CHAOS_NAME_SIZE + 128);
CHAOS_ASSERT_SIZE(chaos_syscall_state, 64);
CHAOS_ASSERT_SIZE(chaos_syscall_tally, 128);
CHAOS_ASSERT_SIZE(chaos_syscall_outcomes, 512 * 8 * 8);
