/*
 * Small files, written by a second thread in batches.
 *
 * The main thread copies a file's bytes and what it needs to know into a batch. A full batch goes
 * to the helper, or, when all batches are full, is written by the main thread itself. What a batch
 * holds stands in no order, so a name is in flight only once, and everything that could meet it (a
 * link, a whiteout, the same name again, a name below it) drains first. What the helper finds in
 * the way, other than an old file, it leaves for the main thread.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

enum { STREAK = 256, HELD_MAX = 4096 };

struct item {
	struct parent *parent;
	size_t path, path_n,
		base; /* in the batch's bytes; base: the last component's start in path */
	size_t data, size;
	uint32_t mode, uid, gid;
	struct timespec ts[2];
	bool chown_failed, put_off;
};

enum state { FREE, READY, BUSY, DONE };

struct batch {
	enum state state;
	size_t n, used, parents_n;
	struct item item[BATCH_FILES];
	struct parent *parents[BATCH_PARENTS];
	int err; /* of the item n_failed */
	size_t failed;
	unsigned char *bytes; /* BATCH_BYTES */
};

struct writer {
	struct apply *a;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	bool stop, idle;
	struct batch *filling; /* NULL, or one that is FREE and being filled */
	struct batch batch[BATCHES];
	struct set64 held;
	unsigned char *bytes;
};

static const char *item_base(const struct batch *b, const struct item *it)
{
	return (const char *)b->bytes + it->path + it->base;
}

static int write_item(const struct apply *a, struct batch *b, struct item *it)
{
	struct file_job job = { .parent = it->parent,
				.name = item_base(b, it),
				.mode = it->mode,
				.uid = it->uid,
				.gid = it->gid };
	_cleanup_(fd_closep) int fd = file_create(a, &job, &it->chown_failed);
	if (fd == -EEXIST) {
		struct stat st;
		/* An old file's name can go; directories and symlinks concern paths that the main
		 * thread keeps. */
		if (fstatat(it->parent->fd, job.name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode) || unlinkat(it->parent->fd, job.name, 0) < 0) {
			it->put_off = true;
			return 0;
		}
		fd = file_create(a, &job, &it->chown_failed);
	}
	if (fd < 0)
		return fd;
	int r = it->size ? fd_write_all(fd, b->bytes + it->data, it->size) : 0;
	if (r == 0)
		r = file_seal(a, &job, fd, it->chown_failed);
	if (r == 0 && futimens(fd, it->ts) < 0)
		r = -errno;
	if (close(steal_fd(&fd)) < 0 && r == 0)
		r = -errno;
	return r;
}

static void write_batch(const struct apply *a, struct batch *b)
{
	for (size_t i = 0; i < b->n && b->err == 0; i++) {
		b->err = write_item(a, b, &b->item[i]);
		b->failed = i;
	}
}

static struct batch *find(struct writer *w, enum state state)
{
	for (size_t i = 0; i < BATCHES; i++)
		if (w->batch[i].state == state && &w->batch[i] != w->filling)
			return &w->batch[i];
	return NULL;
}

static void *helper(void *arg)
{
	struct writer *w = arg;
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct batch *b;
		while (!(b = find(w, READY)) && !w->stop) {
			w->idle = true;
			pthread_cond_wait(&w->work, &w->lock);
			w->idle = false;
		}
		if (!b)
			break;
		b->state = BUSY;
		pthread_mutex_unlock(&w->lock);
		write_batch(w->a, b);
		pthread_mutex_lock(&w->lock);
		b->state = DONE;
		pthread_cond_signal(&w->done);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int writer_start(struct apply *a)
{
	struct writer *w = xcalloc(1, sizeof(*w));
	w->a = a;
	w->bytes = mmap(NULL, (size_t)BATCHES * BATCH_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->bytes == MAP_FAILED) {
		free(w);
		return -ENOMEM;
	}
	for (size_t i = 0; i < BATCHES; i++)
		w->batch[i].bytes = w->bytes + i * BATCH_BYTES;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->done, NULL);
	int r = thread_start(&w->thread, helper, w);
	if (r < 0) {
		munmap(w->bytes, (size_t)BATCHES * BATCH_BYTES);
		free(w);
		return r;
	}
	a->writer = w;
	return 0;
}

/* A file that met a directory or a link: in order, with all that the main thread knows. */
static int write_put_off(struct apply *a, struct batch *b, struct item *it)
{
	struct file_job job = { .parent = it->parent,
				.name = item_base(b, it),
				.mode = it->mode,
				.uid = it->uid,
				.gid = it->gid };
	struct stat st;
	int r = 0;
	a->parent_stale = true;
	if (fstatat(it->parent->fd, job.name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			r = tree_remove(it->parent->fd, job.name);
		else
			r = unlinkat(it->parent->fd, job.name, 0) < 0 ? -errno : 0;
	}
	it->put_off = false;
	return r < 0 ? r : write_item(a, b, it);
}

/* Takes a written batch back: its failures, what it put off, its hold on parents. */
static int take_back(struct apply *a, struct batch *b)
{
	struct writer *w = a->writer;
	int r = b->err;
	for (size_t i = 0; i < b->n; i++) {
		struct item *it = &b->item[i];
		struct span path = span_of(b->bytes + it->path, it->path_n);
		if (r == 0 && it->put_off) {
			r = write_put_off(a, b, it);
			b->failed = i;
		}
		if (it->chown_failed)
			apply_count_name(a, &a->st.owners_failed, path);
		if (r < 0 && i == b->failed)
			err_set(a->e, r, "%s: %s%s", quoted(path), err_word(r),
				r == -EINVAL && a->o.same_owner
					? " (no such ids here? --no-same-owner, --ignore-failed=owner)"
					: "");
	}
	for (size_t i = 0; i < b->parents_n; i++)
		parent_unref(b->parents[i]);
	b->n = b->used = b->parents_n = 0;
	b->err = 0;
	pthread_mutex_lock(&w->lock);
	b->state = FREE;
	pthread_mutex_unlock(&w->lock);
	return r;
}

/* Hands the batch that is being filled to the helper. */
static void submit(struct writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->filling->state = READY;
	w->filling = NULL;
	bool wake = w->idle;
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->work);
}

/* One batch becomes free: one that is done, or else one that we write ourselves, or else the one at
 * which the helper is. */
static int reclaim(struct writer *w, bool *none)
{
	pthread_mutex_lock(&w->lock);
	struct batch *b = find(w, DONE);
	if (!b) {
		b = find(w, READY);
		if (b) {
			b->state = BUSY;
			pthread_mutex_unlock(&w->lock);
			write_batch(w->a, b);
			return take_back(w->a, b);
		}
		while (!b && find(w, BUSY)) {
			pthread_cond_wait(&w->done, &w->lock);
			b = find(w, DONE);
		}
	}
	pthread_mutex_unlock(&w->lock);
	*none = !b;
	return b ? take_back(w->a, b) : 0;
}

static bool holds_any(const struct writer *w)
{
	return w && (w->held.n || w->held.has_zero);
}

int writer_drain(struct apply *a)
{
	struct writer *w = a->writer;
	int r = 0;
	if (!holds_any(w))
		return 0;
	pthread_mutex_lock(&w->lock);
	if (w->filling && w->filling->n) {
		w->filling->state = READY;
		w->filling = NULL;
	}
	pthread_mutex_unlock(&w->lock);
	for (bool none = false; !none;) {
		int r1 = reclaim(w, &none);
		r = r ? r : r1;
	}
	set64_clear(&w->held);
	return r;
}

static uint64_t path_key(const struct apply *a, struct span path)
{
	return siphash(a->made.key, path.p, path.n);
}

bool writer_holds(const struct apply *a, struct span path)
{
	return holds_any(a->writer) && set64_has(&a->writer->held, path_key(a, path));
}

bool writer_holds_above(const struct apply *a, struct span path)
{
	if (!holds_any(a->writer))
		return false;
	for (size_t i = 1; i <= path.n; i++)
		if ((i == path.n || path.p[i] == '/') && writer_holds(a, span_of(path.p, i)))
			return true;
	return false;
}

void writer_stop(struct apply *a)
{
	struct writer *w = a->writer;
	if (!w)
		return;
	writer_drain(a);
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->work);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->done);
	pthread_mutex_destroy(&w->lock);
	set64_release(&w->held);
	munmap(w->bytes, (size_t)BATCHES * BATCH_BYTES);
	free(w);
	a->writer = NULL;
}

/* A batch with room for this entry. */
static int get_batch(struct apply *a, size_t bytes, struct batch **out)
{
	struct writer *w = a->writer;
	struct batch *b = w->filling;
	bool known = b && b->parents_n && b->parents[b->parents_n - 1] == a->parent;
	if (b && (b->n == BATCH_FILES || b->used + bytes > BATCH_BYTES ||
		  (!known && b->parents_n == BATCH_PARENTS)))
		submit(w);
	while (!w->filling) {
		bool none = false;
		pthread_mutex_lock(&w->lock);
		w->filling = find(w, FREE);
		pthread_mutex_unlock(&w->lock);
		int r = w->filling ? 0 : reclaim(w, &none);
		if (r < 0)
			return r;
	}
	*out = w->filling;
	return 0;
}

static bool is_time(struct apply *a, const struct tar_entry *e)
{
	if (a->o.one_thread || e->size > BATCH_FILE_MAX || e->xattrs_n || e->acls_n) {
		a->small_run = 0;
		return false;
	}
	if (++a->small_run < STREAK)
		return false;
	if (!a->writer && (cpu_count() < 2 || writer_start(a) < 0)) {
		a->small_run = 0;
		return false;
	}
	return true;
}

static void fill_item(struct apply *a, struct batch *b, struct item *it, const struct tar_entry *e)
{
	*it = (struct item){
		.parent = a->parent,
		.path = b->used,
		.path_n = a->path.n,
		.base = a->base,
		.mode = apply_mode(a, e),
		.uid = (uint32_t)e->uid,
		.gid = (uint32_t)e->gid,
	};
	apply_timespec(e, it->ts);
	memcpy(b->bytes + b->used, buf_str(&a->path), a->path.n + 1);
	b->used += a->path.n + 1;
	it->data = b->used;
	it->size = e->size;
	if (!b->parents_n || b->parents[b->parents_n - 1] != a->parent) {
		b->parents[b->parents_n++] = a->parent;
		a->parent->refs++;
	}
}

int writer_put(struct apply *a, const struct tar_entry *e, struct tar *t)
{
	struct batch *b = NULL;
	if (!is_time(a, e))
		return 0;
	struct writer *w = a->writer;
	int r = w->held.n >= HELD_MAX ? writer_drain(a) : 0;
	if (r == 0)
		r = get_batch(a, a->path.n + 1 + e->size, &b);
	if (r < 0)
		return r;
	struct item *it = &b->item[b->n];
	fill_item(a, b, it, e);
	r = stream_read_exact(tar_data(t), b->bytes + it->data, it->size);
	if (r < 0)
		return r;
	b->used += it->size;
	b->n++;
	set64_add(&w->held, path_key(a, buf_span(&a->path)));
	a->st.files++;
	r = apply_mark(a, apply_base(a));
	return r < 0 ? r : 1;
}
