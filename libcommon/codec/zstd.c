/* Zstandard (RFC 8878) by libzstd: any number of frames and skippable frames, memory bounded by the window. */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include "libcommon/codec/decompress.h"

static const uint64_t window_most = MIB(128);

struct zstd {
	struct decompressor d;
	ZSTD_DCtx *ctx;
	bool started, between_frames;
};

static size_t refuse(struct zstd *z, size_t result)
{
	uint64_t window = z->d.lim.max_zstd_window;
	int code;

	switch (ZSTD_getErrorCode(result)) {
	case ZSTD_error_memory_allocation:
		stream_fail(&z->d.s, -ENOMEM);
		return 0;
	case ZSTD_error_frameParameter_windowTooLarge:
		window = window && window < window_most ? window : window_most;
		err_set(z->d.e, E_TOOBIG, "zstd: window larger than %llu bytes (--max-zstd-window)",
			(unsigned long long)window);
		stream_fail(&z->d.s, E_TOOBIG);
		return 0;
	case ZSTD_error_dictionary_wrong:
	case ZSTD_error_version_unsupported:
		code = E_UNSUPPORTED;
		break;
	default:
		code = E_FORMAT;
	}
	if (ZSTD_getErrorCode(result) == ZSTD_error_prefix_unknown && z->started)
		return decompressor_fail(&z->d, code, "zstd: garbage after the last frame");
	err_set(z->d.e, code, "zstd: %s", ZSTD_getErrorName(result));
	stream_fail(&z->d.s, code);
	return 0;
}

static size_t zstd_produce(struct decompressor *d, unsigned char *out, size_t n)
{
	struct zstd *z = (struct zstd *)d;

	for (;;) {
		if (z->between_frames)
			d->full = false;
		struct span w = decompressor_input(d);
		if (!w.n && !d->full) {
			if (d->src->err)
				stream_fail(&d->s, d->src->err);
			else if (z->between_frames && z->started)
				d->s.eof = true;
			else
				decompressor_fail(d, E_TRUNCATED, "zstd: cut off");
			return 0;
		}
		ZSTD_inBuffer in = { w.p, w.n, 0 };
		ZSTD_outBuffer to = { out, n, 0 };
		size_t left = ZSTD_decompressStream(z->ctx, &to, &in);
		if (ZSTD_isError(left))
			return refuse(z, left);
		stream_skip(d->src, in.pos);
		z->started = true;
		z->between_frames = left == 0;
		if (to.pos)
			return to.pos;
		d->full = false;
	}
}

static void zstd_release(struct decompressor *d)
{
	ZSTD_freeDCtx(((struct zstd *)d)->ctx);
}

struct decompressor *zstd_open(const struct decompress_limits *lim)
{
	struct zstd *z = xcalloc(1, sizeof(*z));
	uint64_t window = lim->max_zstd_window;

	if (!window || window > window_most)
		window = window_most;
	z->ctx = ZSTD_createDCtx();
	z->between_frames = true;
	z->d.produce = zstd_produce;
	z->d.release = zstd_release;
	/* Below 1 KiB, the format's least, no frame would pass. */
	if (!z->ctx ||
	    ZSTD_isError(ZSTD_DCtx_setMaxWindowSize(z->ctx, (size_t)MAX(window, KIB(1)))))
		stream_fail(&z->d.s, -ENOMEM);
	return &z->d;
}
