/*
 * Docker's documented default profile (an allow-list, the rest is EPERM), and what it lacks:
 *
 * - TIOCSTI and TIOCLINUX, which type into the caller's terminal, are refused, whatever the upper
 * half of the register holds (the kernel looks at 32 bits only);
 * - calls that are newer than the list are ENOSYS, so that libraries fall back as on an older
 * kernel.
 *
 * Both stand in front of libseccomp's program: "not equal" under a mask is something that it cannot
 * say. What is in front looks at arguments of ioctl alone, so the kernel's cache of calls that are
 * always allowed works.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/runtime/seccomp_compact.h"
#include "libcommon/runtime/seccomp_profile.h"

enum {
	TIOCSTI_ = 0x5412,
	TIOCLINUX_ = 0x541c,
	X32_BIT = 0x40000000,
	NAME_MAX_ = 40,
	AF_VSOCK_ = 40,
	ARM_PRIVATE = 0x0f0000
};
/* CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET */
#define CLONE_NEW_ANY 0x7e020000

static const char base[] =
	"accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 "
	"clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
	"clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 "
	"epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
	"epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 "
	"fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl "
	"fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 "
	"fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait "
	"futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 geteuid "
	"geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid "
	"getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list "
	"getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 getxattr "
	"getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy "
	"io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill "
	"landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link "
	"linkat listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat "
	"lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod "
	"mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive "
	"mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv "
	"msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat "
	"openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll "
	"ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv "
	"process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead readlink "
	"readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr "
	"removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending "
	"rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 "
	"rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max "
	"sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 "
	"sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl "
	"semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid "
	"setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority "
	"setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit "
	"set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setuid32 setxattr "
	"setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigpending sigprocmask "
	"sigreturn sigsuspend socketcall socketpair splice stat stat64 statfs statfs64 statmount statx "
	"symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete "
	"timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create "
	"timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 "
	"ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64 utimes vfork "
	"vmsplice wait4 waitid waitpid write writev";

/* Bits of CAP_ numbers and what they open. */
static const struct {
	uint64_t cap;
	const char *calls;
} by_cap[] = {
	{ 1ULL << 2 /* DAC_READ_SEARCH */, "open_by_handle_at" },
	{ 1ULL << 16 /* SYS_MODULE */, "delete_module finit_module init_module" },
	{ 1ULL << 17 /* SYS_RAWIO */, "ioperm iopl" },
	{ 1ULL << 18 /* SYS_CHROOT */, "chroot" },
	{ 1ULL << 19 /* SYS_PTRACE */, "kcmp pidfd_getfd process_madvise" },
	{ 1ULL << 20 /* SYS_PACCT */, "acct" },
	{ 1ULL << 21 /* SYS_ADMIN */,
	  "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr "
	  "move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname "
	  "setns syslog umount umount2 unshare" },
	{ 1ULL << 22 /* SYS_BOOT */, "reboot" },
	{ 1ULL << 23 /* SYS_NICE */, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node" },
	{ 1ULL << 25 /* SYS_TIME */, "clock_settime clock_settime64 settimeofday stime" },
	{ 1ULL << 26 /* SYS_TTY_CONFIG */, "vhangup" },
	{ 1ULL << 34 /* SYSLOG */, "syslog" },
	{ 1ULL << 38 /* PERFMON */, "perf_event_open" },
	{ 1ULL << 39 /* BPF */, "bpf" },
};
#define CAP_ADMIN (1ULL << 21)

static const struct {
	uint32_t arch[4]; /* the machine's own first; 0 ends */
	const char *calls;
} machines[] = {
	[SECCOMP_X86_64] = { { SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 },
			     "arch_prctl modify_ldt" },
	[SECCOMP_AARCH64] = { { SCMP_ARCH_AARCH64, SCMP_ARCH_ARM },
			      "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2" },
	[SECCOMP_RISCV64] = { { SCMP_ARCH_RISCV64 }, "riscv_flush_icache riscv_hwprobe" },
	[SECCOMP_ARM] = { { SCMP_ARCH_ARM },
			  "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2" },
};

uint64_t seccomp_relevant_caps(void)
{
	uint64_t caps = 0;

	for (size_t i = 0; i < sizeof(by_cap) / sizeof(by_cap[0]); i++)
		caps |= by_cap[i].cap;
	return caps;
}

static int next_name(const char **list, char name[NAME_MAX_])
{
	size_t n;

	*list += strspn(*list, " ");
	n = strcspn(*list, " ");
	if (!n || n >= NAME_MAX_)
		return 0;
	memcpy(name, *list, n);
	name[n] = '\0';
	*list += n;
	return 1;
}

/* Names that this libseccomp does not know fall to the rule for what is newer than the list. */
static int allow(scmp_filter_ctx f, const char *list)
{
	char name[NAME_MAX_];
	int r = 0;

	while (!r && next_name(&list, name)) {
		int nr = seccomp_syscall_resolve_name(name);

		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
	}
	return r;
}

static int allow_if(scmp_filter_ctx f, const char *name, struct scmp_arg_cmp cmp)
{
	return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 1,
				      &cmp);
}

/* Calls that are allowed whatever their arguments are. */
static int add_plain_rules(scmp_filter_ctx f, const char *own_calls, uint64_t caps)
{
	int r = allow(f, base);

	if (!r)
		r = allow(f, own_calls);
	for (size_t i = 0; !r && i < sizeof(by_cap) / sizeof(by_cap[0]); i++)
		r = caps & by_cap[i].cap ? allow(f, by_cap[i].calls) : 0;
	return r;
}

static int add_argument_rules(scmp_filter_ctx f, uint64_t caps)
{
	static const uint32_t personalities[] = { 0, 8, 0x20000, 0x20008, 0xffffffff };
	int r = allow_if(f, "socket", SCMP_A0(SCMP_CMP_NE, AF_VSOCK_));

	for (size_t i = 0; !r && i < sizeof(personalities) / sizeof(personalities[0]); i++)
		r = allow_if(f, "personality", SCMP_A0(SCMP_CMP_EQ, personalities[i]));
	if (r || caps & CAP_ADMIN)
		return r;
	r = allow_if(f, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEW_ANY, 0));
	/* Its flags are in memory, where a filter cannot look; libraries take ENOSYS for "use
	 * clone". */
	return r ? r
		 : seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS),
				    seccomp_syscall_resolve_name("clone3"), 0);
}

/* The highest number on arch of any call that the list knows, without x32's bit and ARM's private
 * range. */
static uint32_t newest(uint32_t arch, const char *own_calls)
{
	const char *lists[2 + sizeof(by_cap) / sizeof(by_cap[0])] = { base, own_calls };
	char name[NAME_MAX_];
	uint32_t max = 0;

	for (size_t i = 0; i < sizeof(by_cap) / sizeof(by_cap[0]); i++)
		lists[2 + i] = by_cap[i].calls;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const char *list = lists[i];

		while (next_name(&list, name)) {
			int nr = seccomp_syscall_resolve_name_arch(arch, name);
			uint32_t plain = (uint32_t)nr & ~(uint32_t)X32_BIT;

			if (nr >= 0 && plain > max && plain < ARM_PRIVATE)
				max = plain;
		}
	}
	return max;
}

/* What stands in front, for one architecture; who passes goes on after its last instruction. */
static int preamble(uint32_t arch, const char *own_calls, struct sock_filter *out)
{
	uint32_t audit = arch == SCMP_ARCH_X32 ? SCMP_ARCH_X86_64 : arch;
	uint32_t bit = arch == SCMP_ARCH_X32 ? X32_BIT : 0;
	uint32_t other = arch == SCMP_ARCH_ARM ? ARM_PRIVATE : X32_BIT;
	uint32_t ioctl_nr = (uint32_t)seccomp_syscall_resolve_name_arch(arch, "ioctl") | bit;
	const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, audit, 0, 9),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		/* x32's calls are those of x86-64's with the bit. */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, other, bit ? 0 : 7, bit ? 7 : 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, newest(arch, own_calls) | bit, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ioctl_nr, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI_, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX_, 1, 2),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};

	memcpy(out, code, sizeof(code));
	return sizeof(code) / sizeof(code[0]);
}

static int make_filter(enum seccomp_machine machine, scmp_filter_ctx f)
{
	const uint32_t *arch = machines[machine].arch;
	int r = 0;

	if (*arch != seccomp_arch_native())
		r = seccomp_arch_add(f, *arch);
	for (size_t i = 1; !r && i < 4 && arch[i]; i++)
		r = seccomp_arch_add(f, arch[i]);
	if (!r && *arch != seccomp_arch_native())
		r = seccomp_arch_remove(f, seccomp_arch_native());
	if (!r)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return r;
}

/* ioctl has passed what is in front when it comes to the rules for arguments. */
static int add_rules(scmp_filter_ctx f, enum seccomp_machine machine, uint64_t caps, bool plain)
{
	int r = plain ? add_plain_rules(f, machines[machine].calls, caps) : allow(f, "ioctl");

	return r ? r : add_argument_rules(f, caps);
}

/* What is in front, and libseccomp's program for all rules, or for those alone that look at
 * arguments. */
static int compute(enum seccomp_machine machine, uint64_t caps, bool plain, struct sock_filter *out)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	size_t bytes = 0;
	int n = 0, r;

	if (!f)
		return -ENOMEM;
	for (size_t i = 0; i < 4 && machines[machine].arch[i]; i++)
		n += preamble(machines[machine].arch[i], machines[machine].calls, out + n);
	r = make_filter(machine, f);
	if (!r)
		r = add_rules(f, machine, caps, plain);
	/* Libseccomp 2.6.0 copies as much as it is told there is room for: ask how much it has. */
	if (!r)
		r = seccomp_export_bpf_mem(f, NULL, &bytes);
	if (!r && bytes / sizeof(*out) > (size_t)(SECCOMP_PROGRAM_MAX - n))
		r = -E2BIG;
	if (!r)
		r = seccomp_export_bpf_mem(f, out + n, &bytes);
	seccomp_release(f);
	return r < 0 ? r : n + (int)(bytes / sizeof(*out));
}

int seccomp_compute_plain(enum seccomp_machine machine, uint64_t caps, struct sock_filter *out)
{
	return compute(machine, caps, true, out);
}

int seccomp_compute(enum seccomp_machine machine, uint64_t caps, struct sock_filter *out)
{
	struct sock_filter *full = calloc(2 * SECCOMP_PROGRAM_MAX, sizeof(*full));
	struct sock_filter *rest = full + SECCOMP_PROGRAM_MAX;
	uint32_t audit[4];
	int archs = 0, n, k, rest_n;

	if (!full)
		return -ENOMEM;
	/* x32 is x86-64 to the kernel. */
	for (int i = 0; i < 4 && machines[machine].arch[i]; i++)
		if (machines[machine].arch[i] != SCMP_ARCH_X32)
			audit[archs++] = machines[machine].arch[i];
	n = compute(machine, caps, true, full);
	rest_n = n < 0 ? n : compute(machine, caps, false, rest);
	k = rest_n < 0 ? rest_n
		       : seccomp_compact(full, n, audit, archs, out, SECCOMP_PROGRAM_MAX - rest_n);
	if (rest_n > 0 && k > 0) {
		memcpy(out + k, rest, (size_t)rest_n * sizeof(*out));
		k += rest_n;
	} else if (n > 0 && rest_n > 0) {
		memcpy(out, full, (size_t)n * sizeof(*out));
		k = n;
	}
	free(full);
	return k;
}

int seccomp_compute_here(uint64_t caps, struct sock_filter *out)
{
#if defined(__x86_64__)
	return seccomp_compute(SECCOMP_X86_64, caps, out);
#elif defined(__aarch64__)
	return seccomp_compute(SECCOMP_AARCH64, caps, out);
#elif defined(__riscv)
	return seccomp_compute(SECCOMP_RISCV64, caps, out);
#else
	return seccomp_compute(SECCOMP_ARM, caps, out);
#endif
}
