/*
 * Capabilities (capabilities(7)): names, and the five sets of a process.
 */
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"

static const char *const names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

const char *cap_name(unsigned cap)
{
	return cap < ARRAY_LEN(names) ? names[cap] : NULL;
}

int cap_from_name(const char *name, uint64_t *mask)
{
	struct span s = span_str(name);

	if (span_is_nocase(s, "all")) {
		*mask = (1ULL << ARRAY_LEN(names)) - 1;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (span_is_nocase(s, names[i]) || span_is_nocase(s, names[i] + 4)) {
			*mask = 1ULL << i;
			return 0;
		}
	}
	return E_USAGE;
}

uint64_t caps_effective(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { 0 };

	if (syscall(SYS_capget, &h, d))
		return 0;
	return d[0].effective | (uint64_t)d[1].effective << 32;
}

int caps_bound(uint64_t bounding)
{
	/* Beyond the last capability that the kernel has: EINVAL. */
	for (unsigned cap = 0; cap < 64; cap++) {
		if (bounding >> cap & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return errno == EINVAL ? 0 : -errno;
	}
	return 0;
}

int caps_set(const struct cap_sets *sets)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2], d[2];

	if (syscall(SYS_capget, &h, now))
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		/* What this kernel, or whoever started us, does not have cannot be given on. */
		d[i].permitted = (uint32_t)(sets->permitted >> 32 * i) & now[i].permitted;
		d[i].effective = (uint32_t)(sets->effective >> 32 * i) & d[i].permitted;
		d[i].inheritable = (uint32_t)(sets->inheritable >> 32 * i) & now[i].permitted;
	}
	if (syscall(SYS_capset, &h, d))
		return -errno;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) && errno != EINVAL)
		return -errno;
	for (unsigned cap = 0; cap < 64 && sets->ambient >> cap; cap++) {
		/* One that is not inheritable as well cannot be ambient. */
		if (!(sets->ambient >> cap & d[cap / 32].inheritable >> cap % 32 & 1))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return -errno;
	}
	return 0;
}
