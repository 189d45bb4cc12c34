/* Why a server's certificates are refused, so that a person knows what to do about it. */
#include <stdio.h>
#include <time.h>

#include "libcommon/registry/x509.h"

static const char *date_text(int64_t when, char out[32])
{
	time_t t = (time_t)when;
	struct tm tm;

	gmtime_r(&t, &tm);
	snprintf(out, 32, "%04u-%02u-%02u %02u:%02u:%02u UTC",
		 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		 (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
		 (unsigned)tm.tm_sec % 100);
	return out;
}

static int word_dates(const struct verdict_facts *f, struct err *e)
{
	const int64_t plausible = 1735689600; /* 2025-01-01 */
	char a[32], b[32];

	if (f->now < plausible)
		return err_set(
			e, E_UNAVAILABLE,
			"the clock of this machine says %s: certificates cannot be checked before it is set",
			date_text(f->now, a));
	for (unsigned i = 0; i < f->n; i++) {
		const struct cert *c = &f->certs[i];
		const char *whose = i ? "a CA's certificate in its chain" : "its certificate";

		if (f->now > c->not_after)
			return err_set(e, E_UNAVAILABLE, "%s expired on %s (it is %s)", whose,
				       date_text(c->not_after, a), date_text(f->now, b));
		if (f->now < c->not_before)
			return err_set(e, E_UNAVAILABLE, "%s is not valid before %s (it is %s)",
				       whose, date_text(c->not_before, a), date_text(f->now, b));
	}
	return err_set(e, E_UNAVAILABLE, "its certificate has expired or is not yet valid");
}

/* The last certificate that leads on from the server's own: whoever issued it is missing. */
static const struct cert *chain_end(const struct verdict_facts *f)
{
	const struct cert *last = &f->certs[0];

	for (unsigned i = 0; i < f->n; i++)
		for (unsigned j = 1; j < f->n; j++)
			if (span_eq(f->certs[j].subject, last->issuer) &&
			    !span_eq(last->issuer, last->subject))
				last = &f->certs[j];
	return last;
}

static int word_unknown_ca(const struct verdict_facts *f, struct err *e)
{
	const struct cert *first = &f->certs[0];

	if (!f->any_cas)
		return err_set(
			e, E_UNAVAILABLE,
			"no CA certificates were found on this machine: install ca-certificates, or use --cacert");
	if (f->constrained)
		return verdict_word(VERDICT_NAME_CONSTRAINTS, f, e);
	if (span_eq(first->issuer, first->subject))
		return err_set(
			e, E_UNAVAILABLE,
			"its certificate is self-signed, and not among the trusted ones (--cacert)");
	return err_set(
		e, E_UNAVAILABLE,
		"its certificate is issued by \"%s\", which is not among the trusted CAs (--cacert)",
		cert_name_text(chain_end(f)->issuer));
}

static int word_other_host(const struct verdict_facts *f, struct err *e)
{
	_cleanup_(buf_release) struct buf hosts = BUF_INIT;

	if (!f->certs[0].alt_names.p)
		return err_set(
			e, E_UNAVAILABLE,
			"its certificate has no subjectAltName, and \"%s\" in its subject does not count",
			cert_name_text(f->certs[0].subject));
	cert_hosts_text(&f->certs[0], &hosts);
	return err_set(e, E_UNAVAILABLE, "its certificate is for %s, not for this host",
		       buf_str(&hosts));
}

int verdict_word(enum verdict v, const struct verdict_facts *f, struct err *e)
{
	switch (v) {
	case VERDICT_DATES:
		return word_dates(f, e);
	case VERDICT_OTHER_HOST:
		return word_other_host(f, e);
	case VERDICT_OTHER_USE:
		return err_set(
			e, E_UNAVAILABLE,
			"its certificate, or a CA's in its chain, is for other uses than servers");
	case VERDICT_UNKNOWN_CA:
		return word_unknown_ca(f, e);
	case VERDICT_NAME_CONSTRAINTS:
		return err_set(e, E_UNAVAILABLE,
			       "its chain has a CA with name constraints, which are not supported");
	case VERDICT_EXTENSION:
		return err_set(e, E_UNAVAILABLE,
			       "its chain has a critical extension that is not known");
	case VERDICT_NO_CA:
		return err_set(e, E_UNAVAILABLE, "a certificate in its chain is no CA's");
	case VERDICT_SIGNATURE:
		return err_set(e, E_UNAVAILABLE,
			       "a signature in its chain of certificates is wrong");
	case VERDICT_WEAK_KEY:
		return err_set(e, E_UNAVAILABLE, "a key in its chain of certificates is too short");
	case VERDICT_UNSUPPORTED:
		return err_set(
			e, E_UNAVAILABLE,
			"a key or signature in its chain of certificates is of a kind that is not supported");
	case VERDICT_MALFORMED:
		break;
	}
	return err_set(e, E_UNAVAILABLE, "its certificates are malformed, too many or too large");
}
