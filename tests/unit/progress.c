/* The drawing of progress, on a pseudo-terminal that is read and measured. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/cli.h"
#include "tests/unit/tap.h"

/* What main.c and the applets bring into the real binary. */
const struct applet applets[1];
const size_t applets_n, applets_help_n;
const unsigned char applets_help[1];
const char ocibox_version[] = "", ocibox_features[] = "";

static char seen[1 << 20];
static size_t seen_n;
static atomic_uint drawn; /* how often a capital A came, which only ends the sequence that moves up */

static void *reader(void *arg)
{
	int fd = *(int *)arg;
	ssize_t n;

	while (seen_n < sizeof(seen) - 1 &&
	       (n = read(fd, seen + seen_n, sizeof(seen) - 1 - seen_n)) > 0)
		for (; n; n--)
			atomic_fetch_add(&drawn, seen[seen_n++] == 'A');
	return NULL;
}

static void nap_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Waits for one more redraw, which takes an eighth of a second where the machine is not busy. */
static void redrawn(void)
{
	for (unsigned was = atomic_load(&drawn), i = 0; atomic_load(&drawn) == was && i < 6000; i++)
		nap_ms(10);
}

static int terminal(unsigned columns, unsigned rows, int *master)
{
	struct winsize ws = { .ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows };

	*master = posix_openpt(O_RDWR | O_NOCTTY);
	if (*master < 0 || grantpt(*master) || unlockpt(*master))
		exit(99);
	int fd = open(ptsname(*master), O_RDWR | O_NOCTTY);
	if (fd < 0 || ioctl(fd, TIOCSWINSZ, &ws) < 0)
		exit(99);
	return fd;
}

static size_t widest(void)
{
	size_t best = 0, now = 0;

	for (size_t i = 0; i < seen_n; i++) {
		if (seen[i] == '\033') {
			while (i < seen_n && !((seen[i] >= 'A' && seen[i] <= 'Z') ||
					       (seen[i] >= 'a' && seen[i] <= 'z')))
				i++;
		} else if (seen[i] == '\n' || seen[i] == '\r') {
			now = 0;
		} else {
			now++;
			best = MAX(best, now);
		}
	}
	return best;
}

static unsigned highest(unsigned *redraws)
{
	unsigned best = 0;

	*redraws = 0;
	for (const char *p = seen; (p = strstr(p, "\033[")); p++) {
		char *end;
		unsigned long n = strtoul(p + 2, &end, 10);

		if (*end == 'A') {
			best = MAX(best, (unsigned)n);
			++*redraws;
		}
	}
	return best;
}

/* Ten blobs, four at a time, for about a second. */
static void run(unsigned columns, unsigned rows)
{
	static struct meter m[10];
	int master, slave = terminal(columns, rows, &master);
	pthread_t thread;
	char name[64];

	memset(m, 0, sizeof(m));
	seen_n = 0;
	atomic_store(&drawn, 0);
	for (unsigned i = 0; i < ARRAY_LEN(m); i++) {
		snprintf(m[i].name, sizeof(m[i].name), "sha256:%012x", i);
		m[i].total = 50000000 + i;
	}
	pthread_create(&thread, NULL, reader, &master);
	uint64_t began = clock_ms();
	struct progress *p = progress_start(PROGRESS_AUTO, slave, m, ARRAY_LEN(m));
	for (unsigned step = 0; step < 20; step++) {
		for (unsigned i = step / 4; i < ARRAY_LEN(m) && i < step / 4 + 4; i++) {
			m[i].state = METER_RUNNING;
			m[i].done += m[i].total / 20;
		}
		if (step % 4 == 3)
			m[step / 4].state = METER_DONE;
		if (step % 5 == 4)
			redrawn();
		else
			nap_ms(50);
	}
	m[8].state = METER_FAILED;
	m[9].state = METER_EXISTS;
	progress_stop(p);
	uint64_t most = (clock_ms() - began) / 100 + 2;
	close(slave);
	pthread_join(thread, NULL);
	close(master);
	seen[seen_n] = '\0';

	unsigned redraws, up = highest(&redraws);
	snprintf(name, sizeof(name), "%u x %u: ", columns, rows);
	ok(widest() < columns, "%sno line is wider than the terminal (%zu)", name, widest());
	ok(up < rows, "%sno more lines are redrawn than it has (%u)", name, up);
	ok(redraws >= 3 && redraws <= most, "%sat most 10 redraws a second (%u)", name, redraws);
	if (columns < 40)
		return;
	ok(strstr(seen, "sha256:000000000000") && strstr(seen, "  fetched"),
	   "%sone that ends leaves a line", name);
	ok(strstr(seen, "already there") && strstr(seen, "failed"), "%sand says how", name);
	if (columns >= 60)
		ok(strstr(seen, "MB/s"), "%sa rate", name);
	ok(strstr(seen, "in all"), "%sand a line for all", name);
	if (columns >= 80)
		ok(strstr(seen, "[==") || strstr(seen, "[>"), "%sand a bar", name);
	ok(seen_n > 3 && !strcmp(seen + seen_n - 3, "\033[J"), "%sthe rest is cleared", name);
}

static void elsewhere(void)
{
	struct meter m[1] = { { .name = "x", .total = 5 } };
	int fds[2];
	char text[512] = "";

	if (pipe(fds))
		exit(99);
	ok(!progress_start(PROGRESS_AUTO, fds[1], m, 1),
	   "nothing is drawn where there is no terminal");
	ok(!progress_start(PROGRESS_NONE, fds[1], m, 1), "nor where it was not wanted");
	struct progress *p = progress_start(PROGRESS_JSON, fds[1], m, 1);
	m[0].state = METER_RUNNING;
	m[0].done = 5;
	m[0].state = METER_DONE;
	progress_stop(p);
	ok(read(fds[0], text, sizeof(text) - 1) > 0, "JSON Lines");
	/* what else is told goes by the clock */
	static const char done[] = "{\"id\":\"x\",\"state\":\"done\",\"done\":5,\"total\":5}\n";
	size_t n = strlen(text);

	is_str(n > sizeof(done) - 1 ? text + n - (sizeof(done) - 1) : text, done,
	       "the last state is always told");
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	applet_name = "progress";
	run(80, 24);
	run(40, 24);
	run(20, 4);
	run(5, 2);
	elsewhere();
	return done_testing();
}
