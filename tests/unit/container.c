/*
 * container_run() by the mount calls that every kernel has.
 *
 * Runs on the host's own tree: that needs root, or a user namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"
#include "tests/unit/tap.h"

static char root[64] = "/tmp/container-test-XXXXXX";

static const char *const script[] = {
	"/bin/busybox",
	"sh",
	"-ec",
	"export PATH=/none; b=/bin/busybox\n"
	"[ $($b readlink /proc/self) = $$ ] || [ -d /proc/$$ ]\n"
	"[ $($b stat -c %t:%T /dev/null) = 1:3 ]\n"
	"echo x >/dev/null\n"
	"[ $($b stat -fc %T /dev/shm) = tmpfs ]\n"
	"! echo x 2>/dev/null >/proc/sys/kernel/domainname\n"
	"! $b touch /sys/x 2>/dev/null\n"
	"[ -z \"$($b head -c 1 /proc/keys)\" ]\n"
	"[ \"$($b cat /vol/f)\" = data ]\n"
	"! echo x 2>/dev/null >/vol/f\n"
	"! $b touch /x 2>/dev/null\n"
	"echo y >/tmp/y\n"
	"exit 42\n",
	NULL,
};

static int run(bool classic, struct err *e)
{
	static char vol[80];
	const struct container_mount mounts[] = {
		{ .kind = CM_BIND,
		  .source = vol,
		  .target = "/vol",
		  .recursive = true,
		  .read_only = true },
		{ .kind = CM_TMPFS, .target = "/tmp" },
	};
	struct container c = { .rootfs = root,
			       .ns = NS_ALL & ~(unsigned)NS_USER,
			       .read_only = true,
			       .mounts = mounts,
			       .mounts_n = ARRAY_LEN(mounts),
			       .argv = script,
			       .caps = CAPS_DEFAULT,
			       .no_new_privs = true,
			       .init = true,
			       .hostname = "test" };

	snprintf(vol, sizeof(vol), "%s-vol", root);
	if (geteuid()) {
		c.ns |= NS_USER;
		id_maps_for_caller(&c.id_maps, e);
	}
	mnt_classic = classic;
	return container_run(&c, e);
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	int r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));

	fd_close(fd);
	return r;
}

int main(void)
{
	static const char *const copy[] = {
		"sh", "-c", "mkdir $0/bin $0/tmp $0-vol && cp \"$(command -v busybox)\" $0/bin/",
		root, NULL
	};
	static const char *const clean[] = { "rm", "-rf", root, NULL, NULL };
	const struct spawn make = { .argv = copy }, remove = { .argv = clean };
	const char *leave[5] = { "rm", "-rf", root };
	struct err e = { 0 };
	char vol[80], file[96];
	int status, r;

	/* qemu's user mode passes no such flag on */
	pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUTS | CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (!child)
		_exit(0);
	if (child < 0 && errno == EINVAL) {
		printf("1..0 # skip no namespaces can be cloned here\n");
		return 0;
	}
	waitpid(child, NULL, 0);
	if (!mkdtemp(root) || chmod(root, 0755) || spawn_run(&make, NULL, &status) || status) {
		printf("1..0 # skip no busybox\n");
		spawn_run(&remove, NULL, &status);
		return 0;
	}
	snprintf(vol, sizeof(vol), "%s-vol", root);
	snprintf(file, sizeof(file), "%s/f", vol);
	put(file, "data\n");
	r = run(false, &e);
	ok(r == 42, "by the new calls: %d %s", r, e.text);
	err_clear(&e);
	r = run(true, &e);
	ok(r == 42, "by mount(2): %d %s", r, e.text);
	leave[3] = vol;
	spawn_run(&(struct spawn){ .argv = leave }, NULL, &status);
	is_num(status, 0, "cleaned up");
	return done_testing();
}
