/* Certificates skimmed, and the words for those that are refused. */
#include <stdlib.h>

#include "libcommon/registry/x509.h"
#include "tests/unit/tap.h"

/* A leaf and a CA with name constraints, made by tests/tools/mkcerts; text around them as in
 * bundles. */
static const char bundle[] = "# a comment\n-----BEGIN X-----\n????\n-----END X-----\n"
			     "-----BEGIN CERTIFICATE-----\n"
			     "MIIBwjCCAWmgAwIBAgIUD9N8jladcrMQ4lIXxm4bS1xSh2YwCgYIKoZIzj0EAwIw\n"
			     "FDESMBAGA1UEAwwJVGVzdCByb290MB4XDTI2MTEyMDAyNTg1MloXDTI2MTIyMjAy\n"
			     "NTg1MlowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n"
			     "AQcDQgAE4FChOTGXQ7283cLHjwvyJjHaChMHHUdOQePJyzo2kG3wfZ6Kfn86O1lp\n"
			     "wOKUUAb5iNkKPm6dReXZ75a2EqwtYaOBmDCBlTAJBgNVHRMEAjAAMEgGA1UdEQRB\n"
			     "MD+CCWxvY2FsaG9zdIcEfwAAAYcQAAAAAAAAAAAAAAAAAAAAAYINcmVnaXN0cnku\n"
			     "dGVzdIILKi53aWxkLnRlc3QwHQYDVR0OBBYEFFXIJrYmRgoj8wJTdvynmmg70I9a\n"
			     "MB8GA1UdIwQYMBaAFNjlcwKLknWIu3HpmF40PO+8+Y03MAoGCCqGSM49BAMCA0cA\n"
			     "MEQCIE79bGriP+1eb/hi0IEGIrTdNbaYt00jyCkUDDpgNx8jAiAuHSUTUnB85BIH\n"
			     "LRW8+7sCEFwJGmgrz6wdGJRbZYyGlw==\n"
			     "-----END CERTIFICATE-----\n"
			     "-----BEGIN CERTIFICATE-----\n"
			     "MIIBuTCCAV+gAwIBAgIULvM1iS/PeMe4qLFMzngyOsLFIPUwCgYIKoZIzj0EAwIw\n"
			     "FDESMBAGA1UEAwwJVGVzdCByb290MB4XDTI2MTEyMDAyNTg1MloXDTI2MTIyMjAy\n"
			     "NTg1MlowGzEZMBcGA1UEAwwQVGVzdCBjb25zdHJhaW5lZDBZMBMGByqGSM49AgEG\n"
			     "CCqGSM49AwEHA0IABLq2lqltRdEEhQC4dCCoRUBtvsHPfSS9UlvWhiHDmsEetJJl\n"
			     "1Fr5KaJ/vqu2h7rSkvQFDx1NZj1U5h4Zm2H6N8CjgYcwgYQwEgYDVR0TAQH/BAgw\n"
			     "BgEB/wIBADAOBgNVHQ8BAf8EBAMCAgQwHgYDVR0eAQH/BBQwEqAQMA6CDC5pbnNp\n"
			     "ZGUudGVzdDAdBgNVHQ4EFgQUlrO5iF9DYxXYPswMTmjURs+HjhswHwYDVR0jBBgw\n"
			     "FoAU2OVzAouSdYi7cemYXjQ877z5jTcwCgYIKoZIzj0EAwIDSAAwRQIhALvWqWFX\n"
			     "kysvvzuTblTuHn0fV5bNXXByvBLqYSnG2aWKAiBmBMFipTfs8KEGb69tEWbYbD8f\n"
			     "Ir2oXFiYw5zQrmAgJQ==\n"
			     "-----END CERTIFICATE-----\n"
			     "-----BEGIN CERTIFICATE-----\nno end";

static void says(enum verdict v, const struct verdict_facts *f, const char *want)
{
	struct err e = { 0 };

	ok(verdict_word(v, f, &e) == E_UNAVAILABLE && strstr(e.text, want), "\"%s\"", want);
	if (!strstr(e.text, want))
		printf("# got \"%s\"\n", e.text);
}

int main(void)
{
	_cleanup_(buf_release) struct buf der = BUF_INIT, ca = BUF_INIT, bad = BUF_INIT,
					  hosts = BUF_INIT;
	struct span text = span_str(bundle), label, body;
	struct cert certs[2], c;
	struct verdict_facts f = { .certs = certs, .n = 2, .any_cas = true };

	ok(pem_next(&text, &label, &body) && span_is(label, "X"), "the first block");
	is_num(pem_decode(body, &bad), E_FORMAT, "which is no base64");
	ok(pem_next(&text, &label, &body) && span_is(label, "CERTIFICATE"), "the next block");
	is_num(pem_decode(body, &der), 0, "is base64");
	is_num(cert_parse(buf_span(&der), &certs[0]), 0, "of a certificate");
	ok(pem_next(&text, &label, &body) && pem_decode(body, &ca) == 0 &&
		   cert_parse(buf_span(&ca), &certs[1]) == 0,
	   "and a CA's");
	ok(!pem_next(&text, &label, &body), "a block without an end is none");

	ok(span_eq(certs[0].der, buf_span(&der)), "all of it");
	is_num(certs[0].not_before, 1795143532, "the day from which it is valid");
	is_num(certs[0].not_after, 1797908332, "and until when");
	is_str(cert_name_text(certs[0].issuer), "Test root", "its issuer");
	ok(!certs[0].name_constraints && certs[1].name_constraints, "name constraints");
	ok(cert_has_address(&certs[0], SPAN("\x7f\0\0\1")) &&
		   !cert_has_address(&certs[0], SPAN("\x7f\0\0\2")),
	   "its addresses");
	cert_hosts_text(&certs[0], &hosts);
	is_str(buf_str(&hosts), "localhost, 127.0.0.1, ::1, registry.test, *.wild.test",
	       "whom it is for");

	for (size_t n = 0; n < der.n; n++)
		if (cert_parse(span_of(der.p, n), &c) != E_FORMAT) {
			ok(false, "a certificate cut after %zu bytes", n);
			break;
		}
	is_num(cert_parse(SPAN(""), &c), E_FORMAT, "nothing at all");
	is_num(cert_parse(SPAN("\x30\x84\xff\xff\xff\xff"), &c), E_FORMAT, "a length of 4 GiB");

	f.now = 1000;
	says(VERDICT_DATES, &f, "the clock of this machine says 1970-01-01");
	f.now = certs[0].not_after + 1;
	says(VERDICT_DATES, &f, "its certificate expired on ");
	f.now = certs[0].not_before - 1;
	says(VERDICT_DATES, &f, "its certificate is not valid before ");
	says(VERDICT_OTHER_HOST, &f,
	     "its certificate is for localhost, 127.0.0.1, ::1, registry.test, *.wild.test, not for this host");
	says(VERDICT_UNKNOWN_CA, &f,
	     "its certificate is issued by \"Test root\", which is not among the trusted CAs");
	f.any_cas = false;
	says(VERDICT_UNKNOWN_CA, &f, "no CA certificates were found");
	f.any_cas = f.constrained = true;
	says(VERDICT_UNKNOWN_CA, &f, "name constraints");
	says(VERDICT_OTHER_USE, &f, "for other uses than servers");

	text = SPAN("-----BEGIN A-----\nAAAA\n-----BEGIN B-----\nAQID\n-----END B-----\n");
	ok(pem_next(&text, &label, &body) && span_is(label, "B") && span_is(body, "\nAQID\n"),
	   "a block that is not ended does not hide the next");
	ok(!pem_next(&text, &label, &body), "which is the last");
	return done_testing();
}
