/* Users of a tree (T50, T51): numbers, names, and etc/passwd that is no file. */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"
#include "tests/unit/tap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
			     "# comment:x:1:1::/:\n"
			     "\n"
			     "daemon:x:1:1\n"
			     "app:x:1000:1001:App,,,:/home/app:/bin/sh\n"
			     "2000:x:7:8::/seven:/bin/sh\n"
			     "bad:x:-1:0::/:\n"
			     "huge:x:4294967295:0::/:\n"
			     "hex:x:0x0:0::/:\n"
			     "blank:x: 0:0::/:\n"
			     "nohome:x:50:50:::\n"
			     "relative:x:51:51::../..:\n"
			     "app:x:0:0:second:/evil:/bin/sh\n"
			     ":x:60:60::/:\n"
			     "last:x:70:71::/last:/bin/sh";
static const char group[] = "root:x:0:root\n"
			    "app:x:1001:\n"
			    "wheel:x:10:root,app\n"
			    "audio:x:29:app,other\n"
			    "again:x:29:app\n"
			    "notme:x:30:application,xapp\n"
			    "3000:x:9:\n"
			    "empty:x:31:\n"
			    "bad:x:-5:nobody\n"
			    "commas:x:32:,,\n";

/* want: "UID:GID[,GROUP…] HOME", or the code of an error */
static void user_is(const char *spec, const char *want, int code, const char *name)
{
	_cleanup_(buf_release) struct buf got = BUF_INIT;
	struct err e = { 0 };
	struct user u;
	int r = user_find(span_str(passwd), span_str(group), spec, &u, &e);

	if (r < 0) {
		ok(!want && r == code && e.text[0], "%s (\"%s\")", name, quoted_str(spec));
		if (want || r != code)
			diag("%d %s", r, e.text);
		return;
	}
	buf_addf(&got, "%u:%u", u.uid, u.gid);
	for (size_t i = 0; i < u.groups_n; i++)
		buf_addf(&got, ",%u", u.groups[i]);
	buf_addf(&got, " %s", u.home);
	is_str(buf_str(&got), want, name);
	user_release(&u);
}

static void test_specs(void)
{
	user_is("", "0:0,0,10 /root", 0, "nobody said: root, with its groups");
	user_is("root", "0:0,0,10 /root", 0, "root");
	user_is("app", "1000:1001,10,29 /home/app", 0, "T49 a name, with exactly its groups");
	user_is("1000", "1000:1001,10,29 /home/app", 0, "a number that has an entry");
	user_is("1234", "1234:0 /", 0, "a number that has none");
	user_is("app:audio", "1000:29 /home/app", 0, "T49 a group of one's own choice");
	user_is("app:5", "1000:5 /home/app", 0, "a number of a group");
	user_is("5:6", "5:6 /", 0, "two numbers");
	user_is("2000", "7:8 /seven", 0, "T50 a name that is a number is looked up first");
	user_is("app:3000", "1000:9 /home/app", 0, "T50 a group's too");
	user_is("nohome", "50:50 /", 0, "no home");
	user_is("relative", "51:51 /", 0, "a home that is no path");
	user_is("last", "70:71 /last", 0, "the last line has no end");
	user_is("4294967294", "4294967294:0 /", 0, "T50 the largest id");

	user_is("nobody", NULL, E_NOT_FOUND, "T50 an unknown name");
	user_is("app:nobody", NULL, E_NOT_FOUND, "T50 an unknown group");
	user_is("daemon", NULL, E_NOT_FOUND, "a line that lacks fields is none");
	user_is("4294967295", NULL, E_FORMAT, "T50 2^32 - 1");
	user_is("4294967296", NULL, E_FORMAT, "T50 2^32");
	user_is("18446744073709551616", NULL, E_FORMAT, "T50 2^64");
	user_is("0:4294967296", NULL, E_FORMAT, "T50 a group of 2^32");
	user_is("-1", NULL, E_NOT_FOUND, "T50 a sign");
	user_is("+0", NULL, E_NOT_FOUND, "T50 a plus");
	user_is("0x0", NULL, E_NOT_FOUND, "T50 hexadecimal");
	user_is(" 0", NULL, E_NOT_FOUND, "T50 a blank before");
	user_is("0 ", NULL, E_NOT_FOUND, "T50 a blank behind");
	user_is("0\n", NULL, E_NOT_FOUND, "T50 a line feed");
	user_is("bad", NULL, E_FORMAT, "T50 an entry of user id -1");
	user_is("huge", NULL, E_FORMAT, "T50 of 2^32 - 1");
	user_is("hex", NULL, E_FORMAT, "T50 of 0x0");
	user_is("blank", NULL, E_FORMAT, "T50 of a blank and 0");
	user_is("app:bad", NULL, E_FORMAT, "T50 a group of -5");
	user_is(":", NULL, E_FORMAT, "a colon");
	user_is("app:", NULL, E_FORMAT, "no group behind the colon");
	user_is(":app", NULL, E_FORMAT, "no user before it");
	user_is("60", "60:0 /", 0, "T50 an entry without a name is none");
}

static void test_many_groups(void)
{
	_cleanup_(buf_release) struct buf g = BUF_INIT;
	struct user u;

	for (int i = 0; i < 65; i++)
		buf_addf(&g, "g%d:x:%d:root\n", i, i + 100);
	is_num(user_find(span_str(passwd), buf_span(&g), "root", &u, NULL), E_TOOBIG,
	       "T49 more groups than can be kept are an error, none is dropped");
}

static char dir[] = "/tmp/oci_user.XXXXXX";

static int lookup(const char *spec)
{
	int fd = dir_open(AT_FDCWD, dir);
	struct user u;
	int r = user_lookup(fd, spec, &u, NULL);

	fd_close(fd);
	if (r == 0)
		r = (int)u.uid;
	user_release(&u);
	return r;
}

static void test_files(void)
{
	char path[100], big[4096];
	int fd;

	if (!mkdtemp(dir))
		return;
	is_num(lookup("5"), 5, "a tree without etc");
	is_num(lookup("app"), E_NOT_FOUND, "has no names");
	snprintf(path, sizeof(path), "%s/etc", dir);
	mkdir(path, 0755);
	fd = dir_open(AT_FDCWD, path);

	file_replace(fd, "real", span_str(passwd), 0644, false);
	ok(symlinkat("/etc/real", fd, "passwd") == 0 && lookup("app") == 1000,
	   "a link inside the tree");
	unlinkat(fd, "passwd", 0);
	ok(symlinkat("../../../../../../../../etc/passwd", fd, "passwd") == 0 &&
		   lookup("root") == -ELOOP,
	   "T51 a link out of the tree ends inside it (at itself)");
	unlinkat(fd, "passwd", 0);
	ok(mkfifoat(fd, "passwd", 0644) == 0 && lookup("app") == E_FORMAT, "T51 a fifo");
	unlinkat(fd, "passwd", 0);
	ok(mkdirat(fd, "passwd", 0755) == 0 && lookup("app") == E_FORMAT, "T51 a directory");
	unlinkat(fd, "passwd", AT_REMOVEDIR);
	if (mknodat(fd, "passwd", S_IFCHR | 0666, makedev(1, 5)) == 0)
		ok(lookup("app") == E_FORMAT, "T51 /dev/zero");
	else
		skip("cannot make device nodes here");
	unlinkat(fd, "passwd", 0);

	int file = openat(fd, "passwd", O_CREAT | O_WRONLY, 0644);

	memset(big, '#', sizeof(big));
	for (int i = 0; i < 257; i++)
		fd_write_all(file, big, sizeof(big));
	fd_close(file);
	is_num(lookup("0"), E_TOOBIG, "T51 a huge file");
	unlinkat(fd, "passwd", 0);
	file_replace(fd, "passwd", span_str(passwd), 0644, false);
	ok(mkfifoat(fd, "group", 0644) == 0 && lookup("app") == E_FORMAT,
	   "T51 etc/group as a fifo");
	fd_close(fd);
	tree_remove(AT_FDCWD, dir);
}

int main(void)
{
	test_specs();
	test_many_groups();
	test_files();
	return done_testing();
}
