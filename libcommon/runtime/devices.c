/*
 * The nodes of /dev (runtime-spec config-linux.md, "Default Devices"), in a fresh tmpfs of our own.
 *
 * Root makes them; in a user namespace nobody may, so the host's are bound, after a look at what
 * they are. Either way each is a mount of its own: every other mount of a container is without
 * devices, so that root in it may make nodes, as builds of images do, but not use them.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

static const struct {
	const char *name;
	unsigned major, minor;
} nodes[] = {
	{ "null", 1, 3 },   { "zero", 1, 5 },	 { "full", 1, 7 },
	{ "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};
static const struct {
	const char *name, *to;
} links[] = {
	{ "fd", "/proc/self/fd" },	 { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },		 { "core", "/proc/kcore" },
};

static int bind_node(struct setup *s, int host, const char *name, dev_t rdev)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	_cleanup_(fd_closep) int node = openat(host, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int r;

	if (node < 0 || fstat(node, &st))
		return -errno;
	if (!S_ISCHR(st.st_mode) || st.st_rdev != rdev)
		return err_set(s->e, -ENODEV, "/dev/%s is not the device of that name", name);
	r = mnt_bind(&m, node, "", false, false, 0);
	if (!r && mknodat(s->dev, name, S_IFREG | 0644, 0))
		r = -errno;
	return r ? r : mnt_attach(&m, s->dev, name, NULL);
}

static int make_node(struct setup *s, const char *name, dev_t rdev)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	int r = mknodat(s->dev, name, S_IFCHR | 0666, rdev) ? -errno : 0;

	if (!r)
		r = mnt_bind(&m, s->dev, name, false, false, 0);
	return r ? r : mnt_attach(&m, s->dev, name, NULL);
}

int devices_make(struct setup *s)
{
	_cleanup_(fd_closep) int host = -1;
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_LEN(nodes); i++) {
		dev_t rdev = makedev(nodes[i].major, nodes[i].minor);

		if (host < 0 && !(s->c->ns & NS_USER)) {
			r = make_node(s, nodes[i].name, rdev);
			if (!r)
				continue;
		}
		if (host < 0 && (!r || r == -EPERM)) {
			host = dir_open(AT_FDCWD, "/dev");
			r = host < 0 ? host : 0;
		}
		if (!r)
			r = bind_node(s, host, nodes[i].name, rdev);
		if (r)
			return err_set(s->e, r, "cannot make /dev/%s: %s", nodes[i].name,
				       err_word(r));
	}
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (symlinkat(links[i].to, s->dev, links[i].name))
			return err_set(s->e, -errno, "cannot make /dev/%s: %s", links[i].name,
				       err_word(-errno));
	return 0;
}
