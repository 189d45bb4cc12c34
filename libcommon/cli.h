/*
 * cli: what applets share at their edge: options, IMAGE operands, the wording of errors, progress, the end of the process.
 *
 * Sees all layers to its left. It alone, with the applets, writes to stderr and exits.
 */
#ifndef OCIBOX_CLI_H
#define OCIBOX_CLI_H

#include <getopt.h>
#include <stdio.h>

#include "libcommon/registry.h"
#include "libcommon/runtime.h"

/* ---- registration: generated from the header comments of applets/NAME.c -------------------------------------------------------- */
struct applet {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
};
extern const struct applet applets[];
extern const size_t applets_n;
extern const unsigned char applets_help[]; /* all texts of --help (CONFIG_HELP_PACKED: by gzip) */
extern const size_t applets_help_n;
extern const char ocibox_version[];
extern const char ocibox_features[]; /* "+tls +zstd …" */
extern const char *applet_name;      /* the one that runs: prefix of every message */
struct span cli_help(struct buf *room); /* the text of --help of the one that runs; room may have to hold it */

/* ---- messages and the end ----------------------------------------------------------------------------------------------------------------------- */
extern bool cli_quiet, cli_debug;
void say(const char *fmt, ...) _printf_(1, 2);  /* "applet: …" on stderr, unless -q */
void warn(const char *fmt, ...) _printf_(1, 2); /* "applet: warning: …", also with -q */
void debug(const char *fmt, ...) _printf_(1, 2);
_noreturn_ void die(int status, const char *fmt, ...) _printf_(2, 3);
/* "applet: WHAT: e->text or the code's words", then exit with the code's status (sysexits, design section 4.10). what may be NULL. */
_noreturn_ void die_err(const char *what, int code, const struct err *e);
/* The same for what an applet was to make: a place that does not exist is no missing input (73, not 66). what may be NULL. */
_noreturn_ void die_output(const char *what, int code, const struct err *e);
int exit_status(int code); /* sysexits status of -errno or E_ */
/* In chain loaders every own error ends with 125. */
extern bool cli_chain_loader;

/* ---- options ------------------------------------------------------------------------------------------------------------------------------------------
 * getopt_long with what every applet has: --help, --version, -q/--quiet, --debug. An unknown option dies with 64 and a hint at --help. */
/* Like getopt_long; handles the common ones itself. shortopts without the common letters ("+" in front stops at the first operand). */
int cli_getopt(int argc, char **argv, const char *shortopts, const struct option *longopts);
enum { /* values of long options without a letter start here; the common ones stand above CLI_OPT_COMMON */
	CLI_OPT = 256,
	CLI_OPT_CONFIG_SET = 0x5000, /* + enum config_member */
	CLI_OPT_CONFIG_UNSET = CLI_OPT_CONFIG_SET + EDIT_N,
	CLI_OPT_APPLY = 0x5100,
	CLI_OPT_RUN = 0x6000,
	CLI_OPT_REGISTRY = 0x6100,
	CLI_OPT_TRANSFER = 0x6200,
	CLI_OPT_OUTPUT = 0x6300,
	CLI_OPT_COMMON = 0x7000,
};
#define CLI_COMMON_OPTIONS \
	{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, CLI_OPT_COMMON }, \
	{ "quiet", no_argument, NULL, 'q' }, { "debug", no_argument, NULL, CLI_OPT_COMMON + 1 }, { 0 }
uint64_t cli_number(const char *option, const char *value, uint64_t max); /* dies with 64 */
uint64_t cli_size(const char *option, const char *value);
uint64_t cli_duration_ms(const char *option, const char *value);
bool cli_bool(const char *option, const char *value); /* true, false, 1, 0; NULL is true */
struct platform cli_platform(const char *value);

/* ---- options about a container: what ns-run and build share -------------------------------------------------------------------------- */
struct run_options {
	struct container_mount *mounts;
	size_t mounts_n;
	struct strs env;
	uint64_t cap_add, cap_drop;
	bool seccomp_unconfined, new_privs, no_new_privs;
	bool network_host, network_none; /* the last word of both */
};
#define CLI_RUN_OPTIONS \
	{ "volume", required_argument, NULL, 'v' }, { "tmpfs", required_argument, NULL, CLI_OPT_RUN }, \
	{ "env", required_argument, NULL, 'e' }, { "env-file", required_argument, NULL, CLI_OPT_RUN + 1 }, \
	{ "cap-add", required_argument, NULL, CLI_OPT_RUN + 2 }, \
	{ "cap-drop", required_argument, NULL, CLI_OPT_RUN + 3 }, \
	{ "security-opt", required_argument, NULL, CLI_OPT_RUN + 4 }, \
	{ "network", required_argument, NULL, CLI_OPT_RUN + 5 }
/* False where opt is none of them; dies with 64 on a bad value. Mounts point into copies that live as long as the process. */
bool cli_run_option(struct run_options *r, int opt);
void cli_run_mount(struct run_options *r, const struct container_mount *m);
/* Puts them over what c says; sets is where the capabilities of a bundle stand, or NULL. */
void cli_run_apply(const struct run_options *r, struct container *c, struct cap_sets *sets);

/* ---- options that change an image: its config, each as the Dockerfile instruction of its name (oci.h, config_edit), and annotations --- */
struct config_changes { /* in the order given; zero-initialise */
	struct config_change {
		const struct option *option;
		const char *value;
	} *v;
	size_t n;
};
#define CLI_CONFIG_OPTIONS \
	{ "env", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_ENV }, \
	{ "cmd", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_CMD }, \
	{ "entrypoint", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_ENTRYPOINT }, \
	{ "shell", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_SHELL }, \
	{ "workdir", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_WORKDIR }, \
	{ "user", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_USER }, \
	{ "label", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_LABEL }, \
	{ "expose", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_EXPOSE }, \
	{ "volume", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_VOLUME }, \
	{ "stop-signal", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_STOP_SIGNAL }, \
	{ "healthcheck", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_HEALTHCHECK }, \
	{ "onbuild", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_ONBUILD }, \
	{ "author", required_argument, NULL, CLI_OPT_CONFIG_SET + EDIT_AUTHOR }, \
	{ "unset-env", required_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_ENV }, \
	{ "unset-label", required_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_LABEL }, \
	{ "unset-expose", required_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_EXPOSE }, \
	{ "unset-volume", required_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_VOLUME }, \
	{ "unset-cmd", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_CMD }, \
	{ "unset-entrypoint", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_ENTRYPOINT }, \
	{ "unset-shell", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_SHELL }, \
	{ "unset-workdir", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_WORKDIR }, \
	{ "unset-user", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_USER }, \
	{ "unset-stop-signal", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_STOP_SIGNAL }, \
	{ "unset-healthcheck", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_HEALTHCHECK }, \
	{ "unset-onbuild", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_ONBUILD }, \
	{ "unset-author", no_argument, NULL, CLI_OPT_CONFIG_UNSET + EDIT_AUTHOR }
/* Notes opt of the applet's table with optarg, which must stay; false where it is none of them. */
bool cli_config_option(struct config_changes *c, const struct option *table, int opt);
/* Dies with 64 over a value that is wrong in itself: to be told before anything is read. */
void cli_config_check(const struct config_changes *c);
/* Makes the changes; dies, also where what is there cannot be changed: what is its name in the message, or NULL. */
void cli_config_apply(const struct config_changes *c, struct config_edit *to, const char *what);
/* NAME=VALUE put into *all, an object that is made with the first (json_free); and NAME, which becomes null: it is to go. Die with 64. */
void cli_annotation(struct json **all, const char *value);
void cli_unset_annotation(struct json **all, const char *value);

/* ---- options about a registry: what pull, push, login and logout share ----------------------------------------------------------- */
struct progress;
enum progress_mode { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };
/* --digestfile: opened before the work, written after it. A plain file is replaced; what a link or a device name stands for is written to. */
struct digestfile {
	const char *path; /* NULL: none */
	int fd, dir;
};
void cli_digestfile_open(struct digestfile *f, const char *path); /* dies */
void cli_digestfile_write(struct digestfile *f, struct span text);
void cli_digestfile_digest(struct digestfile *f, const struct digest *d); /* and a line feed */
int cli_open_parent(const char *path); /* the directory that holds path: fd or -errno */
struct registry_cli {
	struct credentials_options creds;
	struct registry_options registry;
	unsigned jobs;
	struct digestfile digestfile;
	enum progress_mode progress_mode;
	int progress_fd;
	struct progress *progress; /* while something is transferred, or NULL */
};
#define CLI_REGISTRY_OPTIONS \
	{ "authfile", required_argument, NULL, CLI_OPT_REGISTRY }, \
	{ "creds-fd", required_argument, NULL, CLI_OPT_REGISTRY + 1 }, \
	{ "auth-trace", no_argument, NULL, CLI_OPT_REGISTRY + 2 }, \
	{ "cacert", required_argument, NULL, CLI_OPT_REGISTRY + 3 }, \
	{ "cert-dir", required_argument, NULL, CLI_OPT_REGISTRY + 4 }, \
	{ "tls-verify", optional_argument, NULL, CLI_OPT_REGISTRY + 5 }, \
	{ "plain-http", no_argument, NULL, CLI_OPT_REGISTRY + 6 }, \
	{ "retries", required_argument, NULL, CLI_OPT_REGISTRY + 7 }, \
	{ "deadline", required_argument, NULL, CLI_OPT_REGISTRY + 8 }
#define CLI_TRANSFER_OPTIONS \
	{ "jobs", required_argument, NULL, CLI_OPT_TRANSFER }, \
	{ "digestfile", required_argument, NULL, CLI_OPT_TRANSFER + 1 }, \
	{ "progress", required_argument, NULL, CLI_OPT_TRANSFER + 2 }, \
	{ "progress-fd", required_argument, NULL, CLI_OPT_TRANSFER + 3 }, \
	{ "min-rate", required_argument, NULL, CLI_OPT_TRANSFER + 4 }
void cli_registry_init(struct registry_cli *c);
bool cli_registry_option(struct registry_cli *c, int opt); /* false: it is none of them */
void cli_registry_check(struct registry_cli *c);           /* once all options are read; opens the digestfile */
/* Opens the credentials; those of --creds-fd are for domain. */
void cli_registry_credentials(struct registry_cli *c, const char *domain);
/* The door (cli_jail) of who talks to a registry: what the network brings can only be written below dir (-1: none), into the digestfile and, with spool,
 * into TMPDIR. It stays open where credential helpers are set up: they are other programs, with places of their own. */
void cli_registry_jail(struct registry_cli *c, int dir, bool spool);
/* The progress of n blobs, drawn until _end or _fail; the meters outlive it. */
void cli_registry_begin(struct registry_cli *c, struct meter *meters, size_t n);
void cli_registry_end(struct registry_cli *c);
_noreturn_ void cli_registry_fail(struct registry_cli *c, const char *what, int code, const struct err *e); /* die_err, below what is drawn */
/* REGISTRY[/PATH], as login takes it: the key of its credentials, and a reference without a repository. Dies with 64. */
const char *cli_registry_key(const char *arg, struct reference *ref);
void cli_meter_name(struct meter *m, const struct descriptor *d); /* and its total */

void cli_stats(const struct blob_stats *s); /* --stats: one line of JSON on stderr */

/* ---- where an image goes that an applet makes: -o LAYOUT[:TAG] or an image stream on standard output ------------------------- */
struct image_output {
	char *layout;    /* NULL: the stream */
	const char *tag; /* in the layout, or NULL */
	char *name;      /* -t: the full name, or NULL */
	bool sync, tell_stats;
	struct digestfile digestfile;
	struct blob_stats stats;
};
#define CLI_OUTPUT_OPTIONS \
	{ "output", required_argument, NULL, 'o' }, { "tag", required_argument, NULL, 't' }, \
	{ "digestfile", required_argument, NULL, CLI_OPT_OUTPUT }, \
	{ "sync", no_argument, NULL, CLI_OPT_OUTPUT + 1 }, { "stats", no_argument, NULL, CLI_OPT_OUTPUT + 2 }
/* LAYOUT[:TAG]; *layout is malloc'd, *tag points into value or is NULL. Dies with 64. */
void cli_layout_operand(const char *value, char **layout, const char **tag);
bool cli_output_option(struct image_output *o, int opt); /* false: it is none of them */
void cli_output_open(struct image_output *o);            /* once all options are read; closes the door (cli_jail) */
typedef int image_blobs_fn(void *arg, struct image_target *t, struct err *e);
/* Blobs (by the callback), then docs, the top one first among them, then the name and the digestfile. Dies. */
void cli_output_write(struct image_output *o, const struct document *const *docs, size_t n, image_blobs_fn *blobs, void *arg);
void cli_output_close(struct image_output *o); /* tells the statistics, too */

/* ---- standard streams ------------------------------------------------------------------------------------------------------------------------------- */
void cli_need_stdout_not_tty(void); /* dies with 64: a filter refuses to write an archive to a terminal */
/* Standard input as a stream; dies with 66 where it is empty: "standard input is empty (did the command before the pipe fail?)". */
struct stream *cli_stdin(void);

/* ---- IMAGE operand: "-" or NULL the standard input, a file that holds a stream, or a layout DIR, DIR:TAG, DIR@DIGEST -------- */
void cli_image_open(const char *operand, const struct image_options *o, struct image **img);

/* ---- layers applied to a tree: what applets that do so share ---------------------------------------------------------------------- */
enum { /* for their tables of options */
	CLI_APPLY_NO_SAME_OWNER = CLI_OPT_APPLY,
	CLI_APPLY_NO_XATTRS,
	CLI_APPLY_NO_DEVICES,
	CLI_APPLY_IGNORE_FAILED,
	CLI_APPLY_MAX_SIZE,
	CLI_APPLY_MAX_FILE_SIZE,
	CLI_APPLY_MAX_ENTRIES,
	CLI_APPLY_MAX_RATIO,
	CLI_APPLY_MAX_DEPTH,
	CLI_APPLY_MAX_NAME,
	CLI_APPLY_MAX_ZSTD_WINDOW,
};
extern const struct apply_options cli_apply_defaults;
bool cli_apply_option(int opt, const char *value, struct apply_options *o); /* false: it is none of them */
void cli_apply_tell(const struct apply_stats *s); /* what was left out or changed */

/* ---- entries of layers, shown ------------------------------------------------------------------------------------------------------------ */
/* As tar tvf does, with control bytes escaped, appended with a line feed; and as members of a JSON object that has been begun. sha256: of the contents, or
 * NULL; digests: there is a column for it. */
void cli_entry_line(struct buf *b, const struct tar_entry *e, const unsigned char *sha256, bool digests);
void cli_entry_json(struct json_out *o, const struct tar_entry *e, const unsigned char *sha256);

/* ---- the door, closed: from here on files are only made and changed below write_below (-1: none) and where allow says so, and there are no sockets
 * but by CLI_JAIL_NETWORK. Before the first thread. Dies. */
enum { CLI_JAIL_SPOOL = 1, CLI_JAIL_NETWORK = 2 }; /* the directory of spool_open(); TCP */
void cli_jail(const int *write_below, size_t n, unsigned allow);

/* ---- guard: the work is done by a child (io.h, guard_fork) -------------------------------------------------------------------------- */
/* False in the child. True in the parent when the child has succeeded; else it undoes, and ends as the child did. */
bool cli_guarded(void (*undo)(void *arg), void *arg);
/* A signal that asks to end does so when undo has returned, which is called on a thread of its own; a second one does not wait for that.
 * Signals are the business of that thread from here on. */
void cli_on_signal(void (*undo)(void *arg), void *arg);

/* ---- progress ------------------------------------------------------------------------------------------------------------------------------------------- */
enum progress_mode cli_progress_mode(const char *value); /* dies with 64 */
/* Draws the meters on stderr (auto: only on a terminal) or writes JSON Lines to fd (stderr, or --progress-fd) from a thread of its own.
 * NULL where nothing is to be drawn. The meters outlive it. */
struct progress *progress_start(enum progress_mode mode, int fd, struct meter *meters, size_t n);
void progress_stop(struct progress *p); /* last redraw, cursor below */

#endif
