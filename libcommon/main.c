/* argv[0] decides which applet runs; under the name ocibox it is the first argument. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"

static const struct applet *find(const char *name)
{
	for (size_t i = 0; i < applets_n; i++)
		if (strcmp(applets[i].name, name) == 0)
			return &applets[i];
	return NULL;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/*
 * A process started without 0, 1 or 2 would open its files there: what it prints would land in them. Reading 0 gives nothing then,
 * and writing to 1 is an error, as it is for who finds it closed.
 */
static void fill_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		int null = open("/dev/null", fd < 2 ? O_RDONLY : O_WRONLY);
		if (null < 0)
			null = open("/", O_PATH);
		if (null < 0)
			_exit(71);
	}
}

static int put(struct buf *b)
{
	int r = fd_write_all(STDOUT_FILENO, b->p, b->n);
	buf_release(b);
	if (r < 0)
		die_err("standard output", r, NULL);
	return 0;
}

static int help(void)
{
	struct buf b = BUF_INIT;
	buf_adds(&b, "Usage: ocibox APPLET [ARGUMENT]...\n"
		     "       ocibox --list | --install DIR | --version | --help\n"
		     "       APPLET [ARGUMENT]...   (through a link of that name)\n\n"
		     "Small tools for container images and containers, which compose through pipes.\n\nApplets:\n");
	for (size_t i = 0; i < applets_n; i++)
		buf_addf(&b, "  %-12s %s\n", applets[i].name, applets[i].summary);
	buf_adds(&b, "\nOptions:\n"
		     "  --list           print the applets' names, one a line\n"
		     "  --install DIR    make a symbolic link for each applet in DIR\n"
		     "  --version        print the version and the features built in\n"
		     "\nocibox APPLET --help tells the rest.\n");
	return put(&b);
}

static int list(void)
{
	struct buf b = BUF_INIT;
	for (size_t i = 0; i < applets_n; i++)
		buf_addf(&b, "%s\n", applets[i].name);
	return put(&b);
}

static int version(void)
{
	struct buf b = BUF_INIT;
	buf_addf(&b, "ocibox %s\nfeatures: %s\n", ocibox_version, ocibox_features);
	return put(&b);
}

/* A file of that name, or a link to another program, as busybox's to its login. */
static bool is_of_others(int dir, const char *name, const char *self)
{
	char to[4096];
	ssize_t n = readlinkat(dir, name, to, sizeof(to) - 1);

	if (n < 0)
		return errno != ENOENT;
	to[n] = '\0';
	return strcmp(base_name(to), base_name(self)) != 0;
}

/*
 * The links name the binary by its absolute path, so that DIR may be anywhere. What others have there by the
 * same name, /usr/bin/login above all, is never replaced.
 */
static int install(const char *dir, const char *argv0)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0)
		self[n] = '\0';
	else if (!realpath(argv0, self))
		die_err(argv0, -errno, NULL);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		die_err(quoted_str(dir), -errno, NULL);
	_cleanup_(fd_closep) int fd = dir_open(AT_FDCWD, dir);
	if (fd < 0)
		die_err(quoted_str(dir), fd, NULL);
	int status = 0;
	for (size_t i = 0; i < applets_n; i++) {
		if (is_of_others(fd, applets[i].name, self)) {
			warn("%s/%s is another program's, and was left alone", quoted_str(dir), applets[i].name);
			status = 73;
			continue;
		}
		unlinkat(fd, applets[i].name, 0);
		if (symlinkat(self, fd, applets[i].name) < 0)
			die_err(quoted_str(dir), -errno, NULL);
	}
	return status;
}

static int ocibox(int argc, char **argv)
{
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help();
	if (strcmp(argv[1], "--list") == 0)
		return list();
	if (strcmp(argv[1], "--version") == 0)
		return version();
	if (strcmp(argv[1], "--install") == 0) {
		if (argc != 3)
			die(64, "--install needs one directory");
		return install(argv[2], argv[0]);
	}
	const struct applet *a = find(base_name(argv[1]));
	if (!a)
		die(64, "%s: no such applet (see --list)", quoted_str(argv[1]));
	applet_name = a->name;
	return a->main(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	fill_standard_descriptors();
	if (argc < 1)
		return 64;
	const struct applet *a = find(base_name(argv[0]));
	if (!a)
		return ocibox(argc, argv);
	applet_name = a->name;
	return a->main(argc, argv);
}
