/*
 * runtime: user namespaces and id maps, namespaces, mounts, capabilities, seccomp, pty, init, the jail.
 *
 * Sees oci, codec, io, base. It alone changes the process's world. No stdio, no exit but in processes that it forked itself.
 */
#ifndef OCIBOX_RUNTIME_H
#define OCIBOX_RUNTIME_H

#include "libcommon/oci.h"

/* ---- id maps and user namespaces ----------------------------------------------------------------------------------------------------------- */
enum { ID_MAP_MAX = 32 };
struct id_maps {
	struct id_map_entry uid[ID_MAP_MAX], gid[ID_MAP_MAX];
	size_t uid_n, gid_n;
	bool single; /* only the caller's own id could be mapped */
};
/* The map that an ordinary user gets: 0 -> the caller, 1.. -> /etc/subuid and /etc/subgid range where newuidmap/newgidmap exist, else single. */
int id_maps_for_caller(struct id_maps *out, struct err *e);
/* Enters a new user namespace with that map (root inside). Before the first thread. Where the system forbids it: -EPERM with a text that
 * says what to set. */
int userns_enter(const struct id_maps *m, struct err *e);
/* True when this process has CAP_SYS_ADMIN-like root powers where it is: euid 0 and all ids mapped for chown. */
bool privileged(void);
/* True where trusted.* extended attributes are seen: CAP_SYS_ADMIN in the system's own user namespace. */
bool sees_trusted_xattrs(void);

/* ---- the jail (design section 3): called when all is open, before the first thread ------------------------------------------------- */
struct jail_options {
	const int *write_below; /* directories below which files may be made and changed */
	size_t write_below_n;
	const int *read_below;
	size_t read_below_n;
	bool allow_network;     /* TCP connect */
};
/* no_new_privs, and Landlock as far as the kernel has it; 0 also where it has none. */
int jail(const struct jail_options *o);

/* ---- container_run(): what ns-run and build share -------------------------------------------------------------------------------------- */
enum ns_flags {
	NS_USER = 1 << 0,
	NS_PID = 1 << 1,
	NS_MOUNT = 1 << 2,
	NS_UTS = 1 << 3,
	NS_IPC = 1 << 4,
	NS_NET = 1 << 5,
	NS_CGROUP = 1 << 6,
	NS_ALL = (1 << 7) - 1,
};
struct container_mount {
	enum { CM_BIND, CM_TMPFS, CM_MQUEUE, CM_PROC, CM_SYSFS, CM_CGROUP, CM_DEVPTS } kind;
	const char *source;   /* bind: on the host */
	const char *target;   /* in the container; created below the root where missing */
	bool read_only, recursive, noexec, nosuid;
	bool dev;             /* bind: device nodes below it work; one that is bound by itself always does */
	uint64_t size;        /* tmpfs: bytes, 0 half of memory */
	bool has_mode;        /* tmpfs: mode; else 01777 */
	uint32_t mode;
	uint32_t uid, gid;    /* tmpfs */
	bool optional;
};
enum seccomp_choice { SECCOMP_DEFAULT, SECCOMP_UNCONFINED };
struct cap_sets {
	uint64_t bounding, effective, permitted, inheritable, ambient; /* bits of CAP_ numbers */
};
struct container_rlimit {
	int resource;        /* RLIMIT_ */
	uint64_t soft, hard; /* UINT64_MAX: none; clamped where they cannot be raised */
};
struct container {
	const char *label;         /* whose messages pid 1 writes; NULL: ns-run */
	/* what it runs on: rootfs, or lowers with upper */
	const char *rootfs;
	const char *const *lowers; /* topmost first, NULL-terminated; NULL: rootfs */
	const char *upper;         /* DIR with diff and work; NULL: a tmpfs */
	unsigned ns;               /* enum ns_flags that are new */
	struct id_maps id_maps;    /* with NS_USER */
	const char *hostname;
	bool read_only;            /* the root */
	const struct container_mount *mounts; /* in order, after the standard ones */
	size_t mounts_n;
	/* the process */
	const char *const *argv;   /* argv[0] searched in PATH of env, inside */
	const char *const *envp;
	bool default_env;          /* PATH, HOME, HOSTNAME (and TERM with tty) are added where envp lacks them */
	const char *cwd;           /* made where it is missing, unless that is refused; NULL: / */
	const char *user_spec;     /* looked up in the root (user_lookup); NULL: user as it stands */
	struct user user;          /* ids inside */
	uint64_t caps;             /* bounding; for uid 0 effective and permitted as well */
	const struct cap_sets *cap_sets; /* NULL: made of caps */
	const struct container_rlimit *rlimits;
	size_t rlimits_n;
	bool has_umask;
	uint32_t umask;            /* 022 unless has_umask */
	bool no_new_privs;
	enum seccomp_choice seccomp;
	bool tty;                  /* a new pty, our standard input in raw mode while it runs */
	bool init;                 /* a tiny init as pid 1 that reaps and forwards */
	unsigned timeout_ms;       /* then SIGTERM, SIGKILL 10 s later, status 124 */
	const char *hosts, *resolv_conf; /* files to bind over /etc/hosts and /etc/resolv.conf, or NULL */
	const char *const *masked, *const *readonly_paths; /* NULL: the runtime-spec's default list */
	bool step_times;           /* write what each step took to times */
	struct container_times *times;
};
struct container_times {
	size_t n;
	struct {
		const char *name;
		uint32_t us;
	} step[32];
};
/*
 * Runs it to its end. Returns the exit status (0-255, 128+n for a signal, 124 timeout, 126 cannot execute, 127 not found), or a negative
 * error with a text where the container could not be made (the applet says 125).
 */
int container_run(const struct container *c, struct err *e);
/* docker's default capability set; a name with or without "CAP_", "ALL". */
#define CAPS_DEFAULT 0x00000000a80425fbULL
int cap_from_name(const char *name, uint64_t *mask);
const char *cap_name(unsigned cap); /* "CAP_CHOWN" or NULL */

/* ---- an OCI runtime bundle's config.json (runtime-spec config.md, config-linux.md) ------------------------------------------------- */
struct loaded_bundle {
	struct container c;    /* points into the rest */
	bool terminal;         /* process.terminal */
	bool has_user_ns;
	struct strs warnings;  /* what it asks for that is not done and that a container can do without, by name */
	struct json *doc;
	struct cap_sets caps;
	struct container_mount *mounts;
	struct container_rlimit *rlimits;
	struct strs texts, argv, env, masked, readonly_paths;
};
/* dir is the bundle's directory, to which relative paths refer. What it asks for that is not done, and that it would not be the same
 * without, is E_UNSUPPORTED by name. On an error, too, b wants bundle_unload. */
int bundle_parse(struct span text, const char *dir, struct loaded_bundle *b, struct err *e);
int bundle_load(const char *dir, struct loaded_bundle *b, struct err *e);
void bundle_unload(struct loaded_bundle *b);

/* ---- what people write, as docker and podman spell it (E_USAGE with a text) ---------------------------------------------------- */
/* SRC:DST[:ro,…] and DST[:size=SIZE,…]: spec is cut in place, m points into it. */
int volume_parse(char *spec, struct container_mount *m, struct err *e);
int tmpfs_parse(char *spec, struct container_mount *m, struct err *e);
/* NAME=VALUE, or NAME with the value that caller (an environment) has; a file of such lines, with # comments. */
int env_add(const char *word, const char *const *caller, struct strs *env, struct err *e);
/* LOWER[:LOWER]…, where "\" escapes a ":" and itself, as unpack -l prints it. */
void overlay_list_parse(const char *list, struct strs *out);
int env_add_file(struct span text, const char *const *caller, struct strs *env, struct err *e);

#endif
