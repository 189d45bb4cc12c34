/* An image's layers, all into one tree, or each into a directory of its own. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libcommon/oci.h"

static int check_diff_ids(struct image *img, struct err *e)
{
	size_t layers = image_manifest(img)->layers_n, ids;
	if (!image_config(img))
		return err_set(e, E_UNSUPPORTED, "it is an artifact, not a container image");
	ids = image_config(img)->diff_ids_n;
	if (layers != ids)
		return err_set(e, E_FORMAT, "the manifest has %zu layers, the config %zu diff_ids",
			       layers, ids);
	return 0;
}

/* Layer i, named in every message. */
static int apply_one(struct image *img, size_t i, struct apply *a, struct err *e)
{
	const struct document *m = image_manifest(img);
	const struct descriptor *d = &m->layers[i];
	enum compression c = descriptor_compression(d);
	char text[DIGEST_TEXT_MAX];
	struct stream *blob = NULL;
	int r = c == COMPRESSION_UNKNOWN ? err_set(e, E_UNSUPPORTED,
						   "media type %s is no layer that can be unpacked",
						   quoted_str(d->media_type))
					 : image_blob(img, d, &blob, e);
	if (r == 0) {
		/* Some writers name one and write the other. */
		enum compression magic = compression_from_magic(stream_peek(blob));
		if (magic != COMPRESSION_UNKNOWN && magic != COMPRESSION_NONE)
			c = magic;
		r = apply_layer(a, blob, c, &image_config(img)->diff_ids[i], NULL);
	}
	if (r < 0) {
		err_set(e, r, "%s", err_word(r));
		err_prefix(e, "layer %zu of %zu (%.19s)", i + 1, m->layers_n,
			   digest_text(&d->digest, text));
	}
	return r;
}

int unpack_merged(struct image *img, int rootfd, const struct apply_options *o,
		  struct apply_stats *stats, struct err *e)
{
	_cleanup_(apply_closep) struct apply *a = NULL;
	struct apply_options mine = *o;
	mine.from_file = image_random_access(img);
	int r = check_diff_ids(img, e);
	if (r == 0)
		r = apply_open(rootfd, APPLY_MERGED, &mine, &a, e);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < image_manifest(img)->layers_n; i++)
		r = apply_one(img, i, a, e);
	if (r == 0)
		r = image_finish(img, e);
	if (r == 0)
		r = apply_finish(a);
	*stats = *apply_stats(a);
	return r;
}

/* ---- one directory a layer
 * --------------------------------------------------------------------------------------------------
 */

enum { STORE_NAME = 7 + 128 + 16 };

struct job {
	struct image *img;
	int store; /* the form's directory */
	enum apply_form form;
	struct apply_options o;
	bool sync;
	size_t n;
	char (*name)[STORE_NAME]; /* sha256-<chain_id> */
	/* below the lock */
	pthread_mutex_t lock;
	pthread_cond_t done;
	size_t next;
	int *fd; /* of layer i at n - 1 - i: topmost first; -1 until it is whole */
	int failed;
	struct err *e;
	atomic_bool stop;
	unsigned
		resting; /* threads that have nothing left to do or that wait for another's layer */
	atomic_bool idle; /* there are such: a layer may take a second thread */
	struct apply_stats stats;
};

/* One thread's part of it: layer i. */
struct turn {
	struct job *job;
	size_t i;
};

static int *fd_of(struct job *j, size_t i)
{
	return &j->fd[j->n - 1 - i];
}

/* Under the lock. */
static void rest(struct job *j, int change)
{
	j->resting += (unsigned)change;
	atomic_store_explicit(&j->idle, j->resting != 0, memory_order_relaxed);
}

/* Waits for the layers below to be whole. */
static int wait_below(void *arg, struct err *e)
{
	const struct turn *t = arg;
	struct job *j = t->job;
	int r = 0;
	pthread_mutex_lock(&j->lock);
	rest(j, 1);
	for (size_t i = 0; i < t->i; i++) {
		while (*fd_of(j, i) < 0 && !j->failed)
			pthread_cond_wait(&j->done, &j->lock);
		if (j->failed) {
			r = err_set(e, -ECANCELED, "a layer below failed");
			break;
		}
	}
	rest(j, -1);
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* The layer's hidden directory, locked and empty; 1 where somebody else finished the layer
 * meanwhile. */
static int open_partial(struct job *j, const char *hidden, const char *name, int *fd, struct err *e)
{
	struct stat st, now;
	for (;;) {
		if (fstatat(j->store, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
		if (mkdirat(j->store, hidden, 0700) < 0 && errno != EEXIST)
			return err_set(e, -errno, "%s: %s", hidden, err_word(-errno));
		*fd = openat(j->store, hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*fd < 0 && errno == ENOENT)
			continue;
		if (*fd < 0)
			return err_set(e, -errno, "%s: %s", hidden, err_word(-errno));
		int r = fd_lock(*fd, true, true);
		if (r < 0)
			return err_set(e, r, "%s: %s", hidden, err_word(r));
		/* Who held the lock has renamed it, or has died. */
		if (fstat(*fd, &st) == 0 &&
		    fstatat(j->store, hidden, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_ino == now.st_ino)
			break;
		fd_close(steal_fd(fd));
	}
	int r = tree_empty(*fd);
	if (r == 0 && fchmod(*fd, 0700) < 0)
		r = -errno;
	return r < 0 ? err_set(e, r, "%s: %s", hidden, err_word(r)) : 0;
}

static void add_stats(struct apply_stats *to, const struct apply_stats *from)
{
	to->entries += from->entries;
	to->bytes += from->bytes;
	to->files += from->files;
	to->dirs += from->dirs;
	to->links += from->links;
	to->whiteouts += from->whiteouts;
	to->devices_dropped += from->devices_dropped;
	to->xattrs_failed += from->xattrs_failed;
	to->owners_failed += from->owners_failed;
	to->devices_failed += from->devices_failed;
	to->setid_cleared += from->setid_cleared;
	to->excluded += from->excluded;
	to->overlay_xattrs_dropped += from->overlay_xattrs_dropped;
	if (!to->first_failed[0])
		memcpy(to->first_failed, from->first_failed, sizeof(to->first_failed));
}

static int fill_layer(struct job *j, size_t i, int fd, struct err *e)
{
	_cleanup_(apply_closep) struct apply *a = NULL;
	struct turn t = { .job = j, .i = i };
	struct apply_options o = j->o;
	o.stop = &j->stop;
	int r = apply_open(fd, j->form, &o, &a, e);
	if (r < 0)
		return r;
	apply_set_lowers(a, j->fd + (j->n - i), i, wait_below, &t);
	r = apply_one(j->img, i, a, e);
	if (r == 0)
		r = apply_finish(a);
	pthread_mutex_lock(&j->lock);
	add_stats(&j->stats, apply_stats(a));
	pthread_mutex_unlock(&j->lock);
	return r;
}

static int make_layer(struct job *j, size_t i, struct err *e)
{
	const char *name = j->name[i];
	_cleanup_(fd_closep) int fd = -1;
	char hidden[STORE_NAME + 16];
	snprintf(hidden, sizeof(hidden), ".%s.partial", name);
	int r = open_partial(j, hidden, name, &fd, e);
	if (r < 0)
		return r;
	if (r == 0) {
		r = fill_layer(j, i, fd, e);
		if (r == 0 && j->sync)
			r = fd_sync_fs(fd);
		if (r == 0 && renameat(j->store, hidden, j->store, name) < 0)
			r = -errno;
		if (r == 0 && j->sync && fsync(j->store) < 0)
			r = -errno;
		if (r < 0) {
			tree_empty(fd);
			unlinkat(j->store, hidden, AT_REMOVEDIR);
			return err_set(e, r, "%s: %s", name, err_word(r));
		}
	}
	fd_close(steal_fd(&fd));
	fd = openat(j->store, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "%s: %s", name, err_word(-errno));
	pthread_mutex_lock(&j->lock);
	*fd_of(j, i) = steal_fd(&fd);
	pthread_cond_broadcast(&j->done);
	pthread_mutex_unlock(&j->lock);
	return 0;
}

/* Takes one layer after the other, from the bottom, until there is none left. */
static void *work(void *arg)
{
	struct job *j = arg;
	for (;;) {
		pthread_mutex_lock(&j->lock);
		size_t i = j->failed ? j->n : j->next;
		j->next = i + 1;
		if (i >= j->n)
			rest(j, 1);
		pthread_mutex_unlock(&j->lock);
		if (i >= j->n)
			return NULL;
		struct err e = { 0 };
		int r = make_layer(j, i, &e);
		if (r == 0)
			continue;
		pthread_mutex_lock(&j->lock);
		if (!j->failed) {
			j->failed = r;
			*j->e = e;
			atomic_store(&j->stop, true);
		}
		pthread_cond_broadcast(&j->done);
		pthread_mutex_unlock(&j->lock);
	}
}

static size_t missing(const struct job *j)
{
	struct stat st;
	size_t n = 0;
	for (size_t i = 0; i < j->n; i++)
		n += fstatat(j->store, j->name[i], &st, AT_SYMLINK_NOFOLLOW) < 0;
	return n;
}

static void run_job(struct job *j)
{
	pthread_t second;
	bool two = image_random_access(j->img) && missing(j) > 1 && cpu_count() > 1;
	/* Two layers at once, each in one thread, keep two processors busier than one layer in a
	 * pipeline. */
	j->o.from_file = image_random_access(j->img);
	if (two && !j->o.one_thread) {
		j->o.one_thread = true;
		j->o.more_threads = &j->idle;
	}
	two = two && thread_start(&second, work, j) == 0;
	if (!two)
		rest(j, 1);
	work(j);
	if (two)
		pthread_join(second, NULL);
}

static void name_layers(struct job *j, const struct config *c)
{
	struct digest chain;
	for (size_t i = 0; i < j->n; i++) {
		char text[DIGEST_TEXT_MAX];
		chain = chain_id_next(i ? &chain : NULL, &c->diff_ids[i]);
		snprintf(j->name[i], STORE_NAME, "%s", digest_text(&chain, text));
		*strchr(j->name[i], ':') = '-';
	}
}

/* What runs that were killed left: partials that nobody holds. */
void layers_clean(int store)
{
	int copy = openat(store, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		fd_close(copy);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct span name = span_str(e->d_name);
		if (!span_starts(name, ".sha") || !span_ends(name, ".partial"))
			continue;
		_cleanup_(fd_closep) int fd =
			openat(store, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct stat st, now;
		/* Who held the lock may have let go of it, and another have made a new one. */
		if (fd >= 0 && fd_lock(fd, true, false) == 0 && fstat(fd, &st) == 0 &&
		    fstatat(store, e->d_name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		    st.st_ino == now.st_ino)
			tree_remove(store, e->d_name);
	}
	closedir(d);
}

int unpack_layers(struct image *img, int store, enum apply_form form, const struct apply_options *o,
		  bool sync, struct strs *names, struct apply_stats *stats, struct err *e)
{
	int r = check_diff_ids(img, e);
	size_t n = image_manifest(img)->layers_n;
	if (r < 0)
		return r;
	layers_clean(store);
	struct job j = {
		.img = img,
		.store = store,
		.form = form,
		.o = *o,
		.sync = sync,
		.n = n,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.done = PTHREAD_COND_INITIALIZER,
		.e = e,
	};
	j.name = xcalloc(n + 1, sizeof(*j.name));
	j.fd = xcalloc(n + 1, sizeof(*j.fd));
	for (size_t i = 0; i < n; i++)
		j.fd[i] = -1;
	name_layers(&j, image_config(img));
	run_job(&j);
	for (size_t i = 0; i < n; i++) {
		strs_add(names, j.name[n - 1 - i]);
		fd_close(j.fd[i]);
	}
	free(j.name);
	free(j.fd);
	*stats = j.stats;
	r = j.failed;
	return r == 0 ? image_finish(img, e) : r;
}

enum apply_form overlay_form(int dirfd)
{
	/* Only the system's own root may say "trusted". */
	if (fsetxattr(dirfd, "trusted.overlay.probe", "y", 1, 0) < 0)
		return APPLY_OVERLAY_USER;
	fremovexattr(dirfd, "trusted.overlay.probe");
	return APPLY_OVERLAY_TRUSTED;
}
