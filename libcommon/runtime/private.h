/*
 * What the files of the runtime share among themselves.
 */
#ifndef OCIBOX_RUNTIME_PRIVATE_H
#define OCIBOX_RUNTIME_PRIVATE_H

#include "libcommon/runtime.h"

/* ---- idmap.c ----------------------------------------------------------------------------------
 */
/* The text that the kernel and newuidmap's arguments have: "inside outside count\n" each. */
void id_map_text(const struct id_map_entry *map, size_t n, char sep, struct buf *out);
/* Ranges of name (or of its number id) in the text of an /etc/subuid; *n grows. */
void id_map_add_ranges(struct span text, const char *name, uint32_t id, struct id_map_entry *map,
		       size_t *n, size_t max);
/* The lines of a /proc/PID/uid_map; the count, or E_FORMAT. */
int id_map_parse(struct span text, struct id_map_entry *map, size_t max);

/* ---- userns.c ---------------------------------------------------------------------------------
 */
/* Why the kernel may have refused a user namespace, into *e; returns code. */
int userns_refused(struct err *e, int code);
/* Writes the maps of the process pid, whose user namespace is new, from outside of it. */
int userns_write_maps(pid_t pid, const struct id_maps *m, struct err *e);

enum { NR_PIDFD_OPEN = 434 };

/* ---- the container's first process, while it makes its world ------------------------------------
 */
/* A page that the process outside and the one that sets up share: what went wrong, and when what
 * was done. */
struct shared {
	struct err e;
	struct container_times times;
};
struct setup {
	const struct container *c;
	struct shared *sh;
	struct err *e; /* that of sh */
	uint64_t last_us;
	int sync;    /* a pipe that the process outside writes to, and that ends when it dies */
	int channel; /* with tty: a socket for the pty's other end; else -1 */
	int outside; /* a pidfd of the process outside where that makes our network; else -1 */
	int root;    /* the container's root, then what we mounted in it; -1 where there is none */
	int proc, dev, sys;
	int empty;   /* an empty read-only tmpfs, once one is mounted */
	int console; /* with tty: the end of the pty that is the program's terminal */
	int pid1;    /* the program that becomes pid 1 */
	struct user user;
	struct strs env;
};
/* With step_times: what was done since the last call. */
void setup_step(struct setup *s, const char *name);
/* All of it, and then the program; comes back only with an error. */
int setup_run(struct setup *s);

/* ---- rootfs.c: the root, and the way into it ---------------------------------------------------
 */
int rootfs_attach(struct setup *s);
int rootfs_enter(struct setup *s);

/* ---- overlay.c ---------------------------------------------------------------------------------
 */
/* Mounts lowers under upper over "/"; *root is the merged root. */
int overlay_attach(const struct container *c, int *root, struct err *e);
/* lowerdir's escapes: backslash, colon, comma. */
void overlay_escape(const char *path, struct buf *out);

/* ---- mounts.c, masks.c, devices.c: what is mounted in it ---------------------------------------
 */
int mounts_standard(struct setup *s);
int mounts_sys(struct setup *s);
int mounts_wanted(struct setup *s);
/* One of those wanted may come to lie on /sys, or show what is mounted there. */
bool mounts_want_sys(const struct setup *s);
/* Those below /sys, or all others: /sys needs the network namespace first. */
int masks_apply(struct setup *s, bool below_sys);
int devices_make(struct setup *s);
/* A directory of the root itself that something is mounted on: no link, made where it is missing.
 */
int mounts_top_dir(struct setup *s, const char *name);

/* ---- net.c -------------------------------------------------------------------------------------
 */
/* Outside: makes the namespace and tells on the pipe how that went, and how the loopback interface
 * did. System calls alone: the memory is another's at the time. */
void net_make_outside(int sync);
/* Inside: into that namespace, or one of our own where it cannot be had. */
int net_join(struct setup *s);
/* Inside: the loopback interface is up. */
int net_up(struct setup *s);

/* ---- process.c: who the program is -------------------------------------------------------------
 */
int process_identity(struct setup *s); /* looks the user up, completes the environment */
int process_cwd(struct setup *s);
int process_limits(const struct container *c, struct err *e);
int process_drop(struct setup *s); /* ids, capabilities, no_new_privs, seccomp */

/* ---- seccomp.c ---------------------------------------------------------------------------------
 */
int filter_load(uint64_t caps, struct err *e);

/* ---- init.c: the program that is pid 1 ---------------------------------------------------------
 */
/* A descriptor of it that nobody can write to, not even root of the container. */
int pid1_open(struct setup *s);

/* ---- wait.c: the process outside ----------------------------------------------------------------
 */
struct outside {
	const struct container *c;
	pid_t child;
	int master; /* with tty: the other end of the pty; else -1 */
};
struct timer {
	uint64_t due;
	bool fired;
};
void outside_block_signals(void);
int outside_wait(const struct outside *o);	       /* the status to end with */
int outside_ended(const struct outside *o);	       /* its status, -EAGAIN while it runs */
void outside_signal(const struct outside *o, int sig); /* passes one on */
int outside_timer(struct timer *t,
		  const struct outside *o); /* milliseconds to wait at most, -1: for ever */
int outside_status(const struct timer *t, int status);
int outside_signal_fd(void);

/* ---- pty.c --------------------------------------------------------------------------------------
 */
int pty_open(struct setup *s);		/* inside: makes it, sends the other end */
int pty_take(struct setup *s);		/* inside: it becomes standard input, output and error */
int pty_receive(int channel);		/* outside; -ECONNRESET where the container died before */
int pty_relay(const struct outside *o); /* like outside_wait, and carries the bytes */

/* ---- caps.c -----------------------------------------------------------------------------------
 */
/* The capabilities in effect, as bits; 0 where they cannot be read. */
uint64_t caps_effective(void);
/* What the process and what it executes may have; bounding first, while it is still allowed. */
int caps_bound(uint64_t bounding);
int caps_set(const struct cap_sets *sets);

#endif
