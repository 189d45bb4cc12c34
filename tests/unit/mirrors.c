/* The mirrors file. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/registry/internal.h"
#include "tests/unit/tap.h"

static struct mirrors *from_text(const char *text, struct err *e)
{
	char path[] = "/tmp/mirrorsXXXXXX";
	int fd = mkstemp(path);
	struct mirrors *m = NULL;

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		exit(99);
	close(fd);
	mirrors_open(path, &m, e);
	unlink(path);
	return m;
}

static const char *found(const struct mirrors *m, const char *domain, const char *repository)
{
	static char text[512];
	struct mirror *v;
	size_t n, used = 0;
	bool only;

	mirrors_find(m, domain, repository, &v, &n, &only);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s; ",
					 v[i].plain_http ? "http://" : "", v[i].domain,
					 v[i].repository);
	snprintf(text + used, sizeof(text) - used, "%s", only ? "only" : "origin");
	mirror_list_free(v, n);
	return text;
}

static void finds(void)
{
	struct err e = { 0 };
	struct mirrors *m = from_text(
		"# mirrors\n"
		"docker.io m1.example m2.example:5000/cache/hub\t https://m3.example/x/ # three\r\n"
		"\n"
		"docker.io/library http://127.0.0.1:5000/lib only\n"
		"docker.io/library/exact bare.example other.example/one\n"
		"reg.example:444 [::1]:5000",
		&e);

	ok(m != NULL, "a file parses (%s)", e.text);
	is_str(found(m, "docker.io", "team/app"),
	       "m1.example team/app; m2.example:5000 cache/hub/team/app; m3.example x/team/app; origin",
	       "in order");
	is_str(found(m, "docker.io", "library/debian"), "http://127.0.0.1:5000 lib/debian; only",
	       "the longest prefix, replaced");
	is_str(found(m, "docker.io", "libraryx/debian"),
	       "m1.example libraryx/debian; m2.example:5000 cache/hub/libraryx/debian; m3.example x/libraryx/debian; origin",
	       "at a slash only");
	is_str(found(m, "docker.io", "library/exact"), "other.example one; origin",
	       "a mirror without a name is left out");
	is_str(found(m, "reg.example:444", "a"), "[::1]:5000 a; origin", "a port");
	is_str(found(m, "reg.example:4445", "a"), "origin", "another port");
	is_str(found(m, "reg.example", "a"), "origin", "no port");
	is_str(found(m, "DOCKER.io", "x"),
	       "m1.example x; m2.example:5000 cache/hub/x; m3.example x/x; origin",
	       "hosts in any case");
	is_str(found(NULL, "docker.io", "x"), "origin", "no file");
	mirrors_close(m);
}

static void refuses(void)
{
	static const char *const bad[][2] = {
		{ "a.example\n", "line 1: no mirror" },
		{ "a.example only\n", "line 1: no mirror" },
		{ "\n\na.example only b.example\n", "line 3: \"only\" must be the last" },
		{ "a.example b.example//x\n", "is no mirror" },
		{ "a.example b.example/../x\n", "is no mirror" },
		{ "a.example ftp://b.example\n", "is no mirror" },
		{ "a.example user@b.example\n", "is no mirror" },
		{ "a.example b.example/X\n", "is no mirror" },
		{ "https://a.example b.example\n", "is no registry" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err e = { 0 };
		struct mirrors *m = from_text(bad[i][0], &e);

		ok(!m && strstr(e.text, bad[i][1]), "refused: %.*s (%s)",
		   (int)strcspn(bad[i][0], "\n"), bad[i][0], e.text);
		mirrors_close(m);
	}
	struct err e = { 0 };
	struct mirrors *m = NULL;
	is_num(mirrors_open("/nonexistent/mirrors", &m, &e), -ENOENT, "a missing file");
}

int main(void)
{
	finds();
	refuses();
	return done_testing();
}
