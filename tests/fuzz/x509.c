/* Certificates, as DER and inside PEM. */
#include "libcommon/registry/x509.h"

static void look(struct span der)
{
	struct buf hosts = BUF_INIT;
	struct cert c;

	if (cert_parse(der, &c) < 0)
		return;
	cert_name_text(c.issuer);
	cert_name_text(c.subject);
	cert_hosts_text(&c, &hosts);
	cert_has_address(&c, SPAN("\x7f\0\0\1"));
	buf_release(&hosts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size), label, body;

	look(text);
	while (pem_next(&text, &label, &body)) {
		struct buf der = BUF_INIT;

		if (pem_decode(body, &der) == 0)
			look(buf_span(&der));
		buf_release(&der);
	}
	return 0;
}
