/*
 * The jail: what a process gives up before it reads what a stranger wrote.
 *
 * no_new_privs; Landlock rules that allow writing only below given directories; and no new sockets
 * where no network is asked for (Landlock knows TCP only, a small seccomp list covers the other
 * families).
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/runtime/arch.h"
#include "libcommon/runtime/private.h"

/* linux/landlock.h, spelled out: headers of the supported distributions stop at different versions.
 */
enum {
	LL_EXECUTE = 1 << 0,
	LL_WRITE_FILE = 1 << 1,
	LL_READ_FILE = 1 << 2,
	LL_READ_DIR = 1 << 3,
	LL_REMOVE_DIR = 1 << 4,
	LL_REMOVE_FILE = 1 << 5,
	LL_MAKE_CHAR = 1 << 6,
	LL_MAKE_DIR = 1 << 7,
	LL_MAKE_REG = 1 << 8,
	LL_MAKE_SOCK = 1 << 9,
	LL_MAKE_FIFO = 1 << 10,
	LL_MAKE_BLOCK = 1 << 11,
	LL_MAKE_SYM = 1 << 12,
	LL_REFER = 1 << 13,	/* ABI 2 */
	LL_TRUNCATE = 1 << 14,	/* ABI 3 */
	LL_IOCTL_DEV = 1 << 15, /* ABI 5 */
	LL_READ = LL_EXECUTE | LL_READ_FILE | LL_READ_DIR,
	LL_WRITE = LL_WRITE_FILE | LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_CHAR | LL_MAKE_DIR |
		   LL_MAKE_REG | LL_MAKE_SOCK | LL_MAKE_FIFO | LL_MAKE_BLOCK | LL_MAKE_SYM |
		   LL_REFER,
	LL_NET_BIND = 1 << 0,	    /* ABI 4 */
	LL_NET_CONNECT = 1 << 1,    /* ABI 4 */
	LL_SCOPE_ABSTRACT = 1 << 0, /* ABI 6 */
	LL_SCOPE_SIGNAL = 1 << 1,   /* ABI 6 */
	LL_VERSION = 1,
	LL_RULE_PATH_BENEATH = 1,
};
struct ll_ruleset {
	uint64_t fs, net, scoped;
};
struct ll_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule	    445
#define SYS_landlock_restrict_self  446
#endif

static int allow_below(int ruleset, const int *dirs, size_t n, uint64_t access)
{
	for (size_t i = 0; i < n; i++) {
		struct ll_beneath b = { .allowed = access, .fd = dirs[i] };

		if (syscall(SYS_landlock_add_rule, ruleset, LL_RULE_PATH_BENEATH, &b, 0))
			return -errno;
	}
	return 0;
}

static int landlock(const struct jail_options *o)
{
	_cleanup_(fd_closep) int ruleset = -1;
	struct ll_ruleset attr = { .fs = LL_WRITE };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_VERSION);
	size_t size = 8;
	int r;

	/* The first version forbids every rename between directories, which staging needs. */
	if (abi < 2)
		return 0;
	if (abi >= 3)
		attr.fs |= LL_TRUNCATE;
	if (o->read_below_n)
		attr.fs |= LL_READ;
	if (abi >= 4) {
		attr.net = LL_NET_BIND | (o->allow_network ? 0 : LL_NET_CONNECT);
		size = 16;
	}
	if (abi >= 5)
		attr.fs |= LL_IOCTL_DEV;
	if (abi >= 6) {
		attr.scoped = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL;
		size = 24;
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset < 0)
		return -errno;
	r = allow_below(ruleset, o->write_below, o->write_below_n, attr.fs);
	if (!r)
		r = allow_below(ruleset, o->read_below, o->read_below_n, attr.fs & LL_READ);
	if (!r && syscall(SYS_landlock_restrict_self, ruleset, 0))
		r = -errno;
	return r;
}

/* EACCES for a new socket or io_uring (which makes sockets without a system call); another
 * machine's calls do not exist. */
static int no_sockets(void)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH_AUDIT, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __x86_64__
		/* x32 calls have this bit */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 4, 0),
#endif
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 425 /* io_uring_setup */, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
	};
	const struct sock_fprog prog = { ARRAY_LEN(code), (struct sock_filter *)code };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) && errno != EINVAL && errno != ENOSYS)
		return -errno;
	return 0;
}

int jail(const struct jail_options *o)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	r = landlock(o);
	if (!r && !o->allow_network)
		r = no_sockets();
	return r;
}
