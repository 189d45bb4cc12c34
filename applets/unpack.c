/*
 * unpack - unpack an image into a root file system
 *
 * config:
 *   default y
 *   select IDMAP
 *
 * usage: unpack [OPTION]... [IMAGE] DIR
 * usage: unpack -b [OPTION]... [IMAGE] DIR
 * usage: unpack -l [OPTION]... [IMAGE] DIR
 * usage: unpack --remove DIR
 *
 * Applies the layers of IMAGE in order and makes the tree appear as DIR, which must be new or
 * empty. IMAGE is a file that holds an image stream, an OCI image layout (LAYOUT, LAYOUT:TAG or
 * LAYOUT@DIGEST), or "-", the default: an image stream on standard input, unpacked as it flows.
 *
 * All is verified before DIR appears, by one rename. A mount point, the working directory, or a DIR
 * in a parent that cannot be written is filled instead.
 *
 * An ordinary user unpacks in a user namespace with the ids that /etc/subuid and /etc/subgid grant,
 * or else owns all files himself, without setuid and setgid bits. Device nodes are left out then.
 * Use --remove to delete what belongs to such ids.
 *
 * options:
 *   -b, --bundle                make DIR an OCI runtime bundle: config.json and rootfs/
 *   -l, --layers                make one directory per layer, DIR/trusted/ALG-CHAINID or
 *                               DIR/user/ALG-CHAINID, for overlayfs; those that exist are kept;
 *                               print the lowerdir option
 *   --remove                    delete DIR
 *   --platform OS/ARCH[/VARIANT]
 *                               choose this platform (default: that of this machine)
 *   --no-same-owner             all files belong to the caller; no setuid and setgid bits
 *   --no-xattrs                 leave out extended attributes and ACLs
 *   --no-devices                leave out device nodes
 *   --ignore-failed LIST        xattr, device, owner: what cannot be kept is counted and is no
 *                               error
 *   --exclude GLOB              leave out matching names, at any depth unless GLOB begins with /
 *                               (may be repeated)
 *   --sync                      wait until all is on the disk
 *
 * limits:
 *   --max-size SIZE             bytes of all files together (default: 1024G)
 *   --max-file-size SIZE        bytes of one file (default: 256G)
 *   --max-entries N             entries of all layers together (default: 20000000)
 *   --max-ratio N               uncompressed bytes per compressed one (default: 2000)
 *   --max-depth N               components of a name (default: 2048)
 *   --max-name N                bytes of a name or link target (default: 4095)
 *   --max-zstd-window SIZE      zstd windows (default and most: 128M)
 *   --spool-max SIZE            blobs that wait in TMPDIR for their turn in a stream (default: 64G)
 *
 * exit status:
 *   0    all went well
 *   64   wrong usage
 *   65   bad, truncated or over-budget data, wrong digest
 *   66   image not found, empty standard input
 *   73   DIR cannot be made, is not empty, or another process fills it
 *   77   a permission is missing
 *
 * examples:
 *   pull debian:12 | unpack rootfs
 *   unpack -b layout:app bundle
 *   mount -t overlay none -o "lowerdir=$(unpack -l layout layers)" /mnt
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libcommon/cli.h"
#include "libcommon/runtime.h"

enum {
	OPT_REMOVE = CLI_OPT,
	OPT_PLATFORM,
	OPT_EXCLUDE,
	OPT_SYNC,
	OPT_SPOOL_MAX,
};

static const struct option options[] = {
	{ "bundle", no_argument, NULL, 'b' },
	{ "layers", no_argument, NULL, 'l' },
	{ "remove", no_argument, NULL, OPT_REMOVE },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "no-same-owner", no_argument, NULL, CLI_APPLY_NO_SAME_OWNER },
	{ "no-xattrs", no_argument, NULL, CLI_APPLY_NO_XATTRS },
	{ "no-devices", no_argument, NULL, CLI_APPLY_NO_DEVICES },
	{ "ignore-failed", required_argument, NULL, CLI_APPLY_IGNORE_FAILED },
	{ "exclude", required_argument, NULL, OPT_EXCLUDE },
	{ "sync", no_argument, NULL, OPT_SYNC },
	{ "max-size", required_argument, NULL, CLI_APPLY_MAX_SIZE },
	{ "max-file-size", required_argument, NULL, CLI_APPLY_MAX_FILE_SIZE },
	{ "max-entries", required_argument, NULL, CLI_APPLY_MAX_ENTRIES },
	{ "max-ratio", required_argument, NULL, CLI_APPLY_MAX_RATIO },
	{ "max-depth", required_argument, NULL, CLI_APPLY_MAX_DEPTH },
	{ "max-name", required_argument, NULL, CLI_APPLY_MAX_NAME },
	{ "max-zstd-window", required_argument, NULL, CLI_APPLY_MAX_ZSTD_WINDOW },
	{ "spool-max", required_argument, NULL, OPT_SPOOL_MAX },
	CLI_COMMON_OPTIONS,
};

static bool bundle, layers, removal, sync_disk;
static const char *image, *dir;
static struct image_options image_options = { .verify = true };
static struct strs excludes;
static struct apply_options how;
static struct id_maps maps;
static bool mapped;

static void parse_options(int argc, char **argv)
{
	how = cli_apply_defaults;
	for (int opt; (opt = cli_getopt(argc, argv, "bl", options)) != -1;) {
		switch (opt) {
		case 'b':
			bundle = true;
			break;
		case 'l':
			layers = true;
			break;
		case OPT_REMOVE:
			removal = true;
			break;
		case OPT_PLATFORM:
			image_options.want = cli_platform(optarg);
			break;
		case OPT_SPOOL_MAX:
			/* 0 is the library's word for its default */
			image_options.spool_max = MAX(cli_size("--spool-max", optarg), UINT64_C(1));
			break;
		case OPT_EXCLUDE:
			strs_add(&excludes, optarg);
			break;
		case OPT_SYNC:
			sync_disk = true;
			break;
		default:
			cli_apply_option(opt, optarg, &how);
		}
	}
	how.exclude = (const char *const *)excludes.v;
	int left = argc - optind;
	if (left < 1 || left > 2 - removal)
		die(64, "%s (try --help)", left < 1 ? "DIR is missing" : "too many operands");
	if (bundle + layers + removal > 1)
		die(64, "only one of -b, -l and --remove");
	dir = argv[argc - 1];
	image = left == 2 ? argv[optind] : NULL;
}

/* An ordinary user gets root's powers over his own ids, if the system lets him. */
static void become_root(void)
{
	struct err e = { 0 };
	if (privileged())
		return;
	how.drop_devices = true;
	int r = id_maps_for_caller(&maps, &e);
	if (r == 0)
		r = userns_enter(&maps, &e);
	mapped = r == 0;
	if (r < 0) {
		debug("no user namespace: %s", e.text);
		how.defer_modes = true;
	}
	if (!mapped || maps.single)
		how.same_owner = false;
}

static void write_bundle_config(const struct image *img, int target, int rootfs)
{
	_cleanup_(buf_release) struct buf json = BUF_INIT;
	struct err e = { 0 };
	struct bundle_options o = { 0 };
	if (mapped)
		o = (struct bundle_options){ maps.uid, maps.gid, maps.uid_n, maps.gid_n };
	int r = bundle_config(image_config(img), rootfs, &o, &json, &e);
	if (r == 0)
		r = file_replace(target, "config.json", buf_span(&json), 0644, sync_disk);
	if (r < 0)
		die_err("config.json", r, &e);
}

/* In the child: everything up to the whole tree at target. */
static void fill_tree(int target)
{
	_cleanup_(image_closep) struct image *img = NULL;
	_cleanup_(fd_closep) int rootfs = -1;
	struct apply_stats stats = { 0 };
	struct err e = { 0 };
	cli_jail(&target, 1, CLI_JAIL_SPOOL);
	cli_image_open(image, &image_options, &img);
	if (bundle) {
		rootfs = mkdirat(target, "rootfs", 0700) < 0 ? -errno : dir_open(target, "rootfs");
		if (rootfs < 0)
			die_err("rootfs", rootfs, NULL);
	}
	int r = unpack_merged(img, bundle ? rootfs : target, &how, &stats, &e);
	if (r < 0)
		die_err(image ? image : "standard input", r, &e);
	if (bundle)
		write_bundle_config(img, target, rootfs);
	cli_apply_tell(&stats);
}

/* In the child: the layers, and the list of them for mount. */
static void fill_store(int store, const char *path, enum apply_form form)
{
	_cleanup_(image_closep) struct image *img = NULL;
	_cleanup_(strs_release) struct strs names = { 0 };
	_cleanup_(buf_release) struct buf list = BUF_INIT;
	struct apply_stats stats = { 0 };
	struct err e = { 0 };
	cli_jail(&store, 1, CLI_JAIL_SPOOL);
	cli_image_open(image, &image_options, &img);
	int r = unpack_layers(img, store, form, &how, sync_disk, &names, &stats, &e);
	if (r < 0)
		die_err(image ? image : "standard input", r, &e);
	for (size_t i = 0; i < names.n; i++) {
		if (i)
			buf_addc(&list, ':');
		for (const char *c = path; *c; c++) {
			if (*c == ':' || *c == '\\')
				buf_addc(&list, '\\');
			buf_addc(&list, *c);
		}
		buf_addf(&list, "/%s/%s", form == APPLY_OVERLAY_TRUSTED ? "trusted" : "user",
			 names.v[i]);
	}
	buf_addc(&list, '\n');
	r = fd_write_all(STDOUT_FILENO, list.p, list.n);
	if (r < 0)
		die_err("standard output", r, NULL);
	cli_apply_tell(&stats);
}

static int open_store(char **path, enum apply_form *form)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		die_output(dir, -errno, NULL);
	_cleanup_(fd_closep) int top = dir_open(AT_FDCWD, dir);
	if (top < 0)
		die_err(dir, top, NULL);
	*path = realpath(dir, NULL);
	if (!*path)
		die_err(dir, -errno, NULL);
	*form = overlay_form(top);
	const char *name = *form == APPLY_OVERLAY_TRUSTED ? "trusted" : "user";
	if (mkdirat(top, name, 0700) < 0 && errno != EEXIST)
		die_err(dir, -errno, NULL);
	int store = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store < 0)
		die_err(dir, -errno, NULL);
	return store;
}

static void undo_tree(void *arg)
{
	staging_discard(arg);
}

static void undo_store(void *arg)
{
	layers_clean(*(int *)arg);
}

static void unpack_tree(void)
{
	struct staging s;
	struct err e = { 0 };
	guard_hold();
	int r = staging_open(dir, &s, &e);
	if (r < 0)
		die_output(NULL, r, &e);
	if (!cli_guarded(undo_tree, &s)) {
		fill_tree(s.fd);
		exit(0);
	}
	r = staging_commit(&s, sync_disk, &e);
	if (r < 0) {
		staging_discard(&s);
		die_err(dir, r, &e);
	}
	staging_close(&s);
}

static void unpack_store(void)
{
	_cleanup_(freep) char *path = NULL;
	enum apply_form form;
	int store = open_store(&path, &form);
	if (!cli_guarded(undo_store, &store)) {
		fill_store(store, path, form);
		exit(0);
	}
	fd_close(store);
}

static void remove_tree(void)
{
	struct stat st;
	int r = lstat(dir, &st) < 0 ? -errno : tree_remove(AT_FDCWD, dir);
	if (r < 0)
		die_err(dir, r, NULL);
}

int unpack_main(int argc, char **argv)
{
	struct rlimit files;
	parse_options(argc, argv);
	become_root();
	if (!how.same_owner)
		how.clear_setid = true;
	umask(0);
	/* Deep trees are removed with one descriptor a level. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 8192) {
		files.rlim_cur = MIN(files.rlim_max, (rlim_t)8192);
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (removal)
		remove_tree();
	else if (layers)
		unpack_store();
	else
		unpack_tree();
	return 0;
}
