/* Descriptors, manifests, indexes, image configs: what is read, and above all what is refused. */
#include "libcommon/oci.h"
#include "tests/unit/tap.h"

#include <stdlib.h>

#define HEX	"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define D	"\"digest\":\"sha256:" HEX "\""
#define CONFIG	"{\"mediaType\":\"" MEDIA_OCI_CONFIG "\"," D ",\"size\":2}"
#define LAYER	"{\"mediaType\":\"" MEDIA_OCI_LAYER "+gzip\"," D ",\"size\":3}"
#define TYPE(t) "\"mediaType\":\"" t "\","

static int parse(const char *text, const char *type, struct document *doc, struct err *e)
{
	struct buf raw = BUF_INIT;

	buf_adds(&raw, text);
	return document_parse(&raw, type, doc, e);
}

/* says NULL: accepted; else a part of the error's text */
static void doc_is(const char *text, const char *type, int code, const char *says, const char *name)
{
	struct document doc;
	struct err e = { 0 };
	int r = parse(text, type, &doc, &e);

	ok(r == code && (!says || strstr(e.text, says)), "%s", name);
	if (r != code || (says && !strstr(e.text, says)))
		diag("%d %s", r, e.text);
	document_release(&doc);
}

static void test_manifest(void)
{
	static const char text[] = "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER
				   "," LAYER "],\"subject\":" CONFIG ",\"x\":1}";
	struct document doc;
	struct digest d = digest_of(HASH_SHA256, span_str(text));

	if (!ok(parse(text, NULL, &doc, NULL) == 0, "a manifest"))
		return;
	ok(doc.kind == DOC_MANIFEST && doc.layers_n == 2 && doc.has_subject, "with its parts");
	ok(digest_eq(&doc.digest, &d), "digest of the bytes");
	ok(span_is(buf_span(&doc.raw), text), "which are kept");
	is_str(doc.media_type, MEDIA_OCI_MANIFEST, "media type by structure");
	is_num(doc.config.size, 2, "config's size");
	ok(descriptor_is_image_config(&doc.config), "an image's config");
	is_num(descriptor_compression(&doc.layers[0]), COMPRESSION_GZIP, "a gzip layer");
	document_release(&doc);

	doc_is("{\"schemaVersion\":2," TYPE(MEDIA_OCI_MANIFEST) "\"config\":" CONFIG
								",\"layers\":[]}",
	       MEDIA_OCI_MANIFEST "; charset=utf-8", 0, NULL, "Content-Type with a parameter");
	doc_is("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":null}", "application/json", 0,
	       NULL, "a generic Content-Type says nothing, null is an empty list");
}

static void test_ambiguous(void)
{
	doc_is("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]}", NULL,
	       E_FORMAT, "ambiguous", "T71 both manifest and index");
	doc_is("{\"schemaVersion\":2,\"layers\":[],\"manifests\":[]}", NULL, E_FORMAT, "ambiguous",
	       "T71 layers and manifests");
	doc_is("{\"schemaVersion\":2,\"config\":" CONFIG ",\"manifests\":[]}", MEDIA_OCI_INDEX,
	       E_FORMAT, "ambiguous", "T71 config and manifests");
	doc_is("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"fsLayers\":[]}", NULL,
	       E_FORMAT, "ambiguous", "T71 schema 1 and 2 in one");
	doc_is("{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"Manifests\":[]}", NULL,
	       E_FORMAT, "to other tools", "T71 a member that only differs in case");
	doc_is("{\"schemaVersion\":2," TYPE(MEDIA_OCI_INDEX) "\"config\":" CONFIG ",\"layers\":[]}",
	       NULL, E_FORMAT, "named an index but is built as a manifest",
	       "T71 mediaType against structure");
	doc_is("{\"schemaVersion\":2," TYPE(MEDIA_OCI_INDEX) "\"manifests\":[]}",
	       MEDIA_OCI_MANIFEST, E_FORMAT, "came as", "T71 mediaType against Content-Type");
	doc_is("{\"schemaVersion\":2,\"manifests\":[]}", MEDIA_OCI_MANIFEST, E_FORMAT,
	       "named a manifest but is built as an index", "T71 Content-Type against structure");
	doc_is("{\"schemaVersion\":2," TYPE(MEDIA_DOCKER_MANIFEST) "\"config\":" CONFIG
								   ",\"layers\":[]}",
	       MEDIA_OCI_MANIFEST, E_FORMAT, "came as", "T71 docker's type and OCI's");
	doc_is("{\"schemaVersion\":2,\"mediaType\":7,\"manifests\":[]}", NULL, E_FORMAT,
	       "no string", "T71 mediaType of a wrong type");
	doc_is("{\"schemaVersion\":2,\"manifests\":[]}", "text/html", E_UNSUPPORTED, "text/html",
	       "a web page's Content-Type");
	doc_is("{\"schemaVersion\":2,\"a\":1}", NULL, E_FORMAT, "neither", "neither of both");
	doc_is("{\"manifests\":[]}", NULL, E_FORMAT, "schemaVersion", "no schemaVersion");
	doc_is("{\"schemaVersion\":3,\"manifests\":[]}", NULL, E_FORMAT, "schemaVersion",
	       "version 3");
	doc_is("[]", NULL, E_FORMAT, "no JSON object", "an array");
	doc_is("{\"schemaVersion\":1,\"name\":\"a\",\"fsLayers\":[],\"history\":[]}", NULL,
	       E_UNSUPPORTED, "schema 1", "docker schema 1");
	doc_is("{\"schemaVersion\":1}", "application/vnd.docker.distribution.manifest.v1+prettyjws",
	       E_UNSUPPORTED, "schema 1", "by its Content-Type too");
}

static void test_confusion(void)
{
	_cleanup_(buf_release) struct buf deep = BUF_INIT;

	doc_is("{\"schemaVersion\":2,\"config\":" CONFIG ",\"config\":" CONFIG ",\"layers\":[]}",
	       NULL, E_FORMAT, NULL, "T74 a member twice");
	doc_is("{\"schemaVersion\":2,\"manifests\":[],\"x\":\"\xff\"}", NULL, E_FORMAT, NULL,
	       "T74 invalid UTF-8");
	doc_is("{\"schemaVersion\":2,\"manifests\":[]} x", NULL, E_FORMAT, NULL,
	       "T74 more behind it");
	doc_is("{\"schemaVersion\":2,\"manifests\":[],\"x\":\"a\\u0000b\"}", NULL, E_FORMAT, NULL,
	       "T74 a NUL in a string");
	buf_adds(&deep, "{\"schemaVersion\":2,\"manifests\":[],\"x\":");
	for (int i = 0; i < 100; i++)
		buf_addc(&deep, '[');
	for (int i = 0; i < 100; i++)
		buf_addc(&deep, ']');
	buf_addc(&deep, '}');
	struct document doc;

	ok(document_parse(&deep, NULL, &doc, NULL) < 0, "T74 nested 100 deep");
}

static int index_of(struct buf *b, const char *entry, size_t n)
{
	struct document doc;

	buf_adds(b, "{\"schemaVersion\":2,\"manifests\":[");
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, i ? "," : "");
		buf_adds(b, entry);
	}
	buf_adds(b, "]}");

	int r = document_parse(b, NULL, &doc, NULL);

	document_release(&doc);
	return r;
}

static void test_budgets(void)
{
	struct buf b = BUF_INIT;
	struct document doc;
	struct config c;

	while (b.n < DOC_MANIFEST_MAX)
		buf_adds(&b, "{},");
	ok(document_parse(&b, NULL, &doc, NULL) == E_TOOBIG, "T80 a manifest over 4 MiB");
	ok(b.n == 0 && !b.p, "whose bytes are taken all the same");
	buf_addc(&b, '[');
	while (b.n < DOC_MANIFEST_MAX - 100)
		buf_adds(&b, "{},");
	buf_adds(&b, "{}]");
	ok(document_parse(&b, NULL, &doc, NULL) < 0, "T80 4 MiB of {},");
	ok(index_of(&b, "0", 100001) < 0, "T80 100,001 values");
	while (b.n <= DOC_CONFIG_MAX)
		buf_adds(&b, "          ");
	ok(config_parse(&b, &c, NULL) == E_TOOBIG, "T80 a config over 8 MiB");

	buf_adds(&b, "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[");
	for (size_t i = 0; i < 4097; i++) {
		buf_adds(&b, i ? "," : "");
		buf_adds(&b, "{" D ",\"size\":1}");
	}
	buf_adds(&b, "]}");
	ok(document_parse(&b, NULL, &doc, NULL) == E_TOOBIG, "T80 4,097 layers");
	ok(index_of(&b, "{" D ",\"size\":1}", 5000) == 0, "an index of 5,000 is fine");
}

static int descriptor(const char *text, struct descriptor *d)
{
	struct json *doc;
	int r = json_parse(span_str(text), NULL, &doc, NULL);

	if (r < 0)
		return r;
	r = descriptor_from_json(doc, d, NULL);
	json_free(doc);
	return r;
}

static void test_descriptor(void)
{
	static const struct {
		const char *size;
		int want;
	} sizes[] = {
		{ "-1", E_FORMAT },
		{ "0", 0 },
		{ "9223372036854775807", 0 },
		{ "1.5", E_FORMAT },
		{ "\"3\"", E_FORMAT },
		{ "9223372036854775808", E_FORMAT },
		{ "1e3", E_FORMAT },
		{ "null", E_FORMAT },
		{ "18446744073709551616", E_FORMAT },
		{ "-0", 0 },
	};
	struct descriptor d;
	char text[400];

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		snprintf(text, sizeof(text), "{" D ",\"size\":%s}", sizes[i].size);
		ok(descriptor(text, &d) == sizes[i].want, "T72 size %s is %s", sizes[i].size,
		   sizes[i].want ? "refused" : "accepted");
		descriptor_release(&d);
	}
	ok(descriptor("{" D "}", &d) == E_FORMAT, "T72 no size");
	ok(descriptor("{\"size\":1}", &d) == E_FORMAT, "no digest");
	ok(descriptor("{\"digest\":\"sha256:../../x\",\"size\":1}", &d) == E_FORMAT,
	   "T68 a path as digest");
	ok(descriptor("{\"digest\":\"md5:00\",\"size\":1}", &d) == E_UNSUPPORTED,
	   "T68 another algorithm");
	ok(descriptor("{\"mediaType\":1," D ",\"size\":1}", &d) == E_FORMAT, "mediaType a number");
	ok(descriptor("{\"mediaType\":\"a b\"," D ",\"size\":1}", &d) == E_FORMAT,
	   "mediaType with a blank");
	ok(descriptor("[]", &d) == E_FORMAT, "no object");
	ok(descriptor("{" D ",\"size\":1,\"Digest\":\"sha256:00\"}", &d) == E_FORMAT,
	   "T74 another digest for a parser that ignores case");
	if (ok(descriptor(
		       "{" D
		       ",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\","
		       "\"variant\":\"v1\"},\"urls\":[\"http://x/\"],\"annotations\":{"
		       "\"org.opencontainers.image.ref.name\":\"12\",\"io.containerd.image.name\":\"r.io/a:12\"}}",
		       &d) == 0,
	       "a full one")) {
		struct descriptor c;

		descriptor_copy(&c, &d);
		descriptor_release(&d);
		is_str(c.platform.arch, "amd64", "architecture");
		is_str(c.platform.variant, "", "v1 is none");
		is_str(c.ref_name, "12", "name");
		is_str(c.image_name, "r.io/a:12", "containerd's name");
		is_str(c.media_type, "", "no media type");
		is_num(descriptor_compression(&c), COMPRESSION_UNKNOWN, "and so no layer");
		descriptor_release(&c);
	}
	ok(descriptor(
		   "{" D
		   ",\"size\":1,\"platform\":{\"os\":\"li\\nnux\",\"architecture\":\"\\u001b[2J\"}}",
		   &d) == 0 &&
		   !strcmp(d.platform.os, "unknown"),
	   "an odd platform serves nobody");
	descriptor_release(&d);
}

static void test_compression(void)
{
	static const struct {
		const char *type;
		enum compression want;
		bool nondist;
	} types[] = {
		{ MEDIA_OCI_LAYER, COMPRESSION_NONE, false },
		{ MEDIA_OCI_LAYER "+gzip", COMPRESSION_GZIP, false },
		{ MEDIA_OCI_LAYER "+zstd", COMPRESSION_ZSTD, false },
		{ MEDIA_OCI_LAYER "+lz4", COMPRESSION_UNKNOWN, false },
		{ MEDIA_OCI_LAYER "x", COMPRESSION_UNKNOWN, false },
		{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", COMPRESSION_GZIP,
		  true },
		{ MEDIA_DOCKER_LAYER, COMPRESSION_GZIP, false },
		{ "application/vnd.docker.image.rootfs.diff.tar", COMPRESSION_NONE, false },
		{ "application/vnd.docker.image.rootfs.diff.tar.zstd", COMPRESSION_ZSTD, false },
		{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", COMPRESSION_GZIP,
		  true },
		{ "application/vnd.cncf.helm.chart.content.v1.tar+gzip", COMPRESSION_UNKNOWN,
		  false },
		{ MEDIA_OCI_CONFIG, COMPRESSION_UNKNOWN, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct descriptor d = { .media_type = (char *)types[i].type };

		ok(descriptor_compression(&d) == types[i].want &&
			   descriptor_is_nondistributable(&d) == types[i].nondist,
		   "%s", types[i].type);
	}
}

#define ENTRY(os, arch)                                                         \
	"{" TYPE(MEDIA_OCI_MANIFEST) D ",\"size\":1,\"platform\":{\"os\":\"" os \
				       "\",\"architecture\":\"" arch "\"}}"
#define VARIANT(v)                                                                                       \
	"{" TYPE(MEDIA_OCI_MANIFEST) D                                                                   \
		",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\",\"variant\":\"" v \
		"\"}}"
#define BARE "{" TYPE(MEDIA_OCI_MANIFEST) D ",\"size\":1}"

static int choose(const char *entries, const char *want, struct err *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct document doc;
	struct platform p;
	size_t pos = 99;

	buf_addf(&b, "{\"schemaVersion\":2,\"manifests\":[%s]}", entries);
	if (platform_parse(want, &p, NULL) < 0 || document_parse(&b, NULL, &doc, NULL) < 0)
		return -1;

	int r = document_choose(&doc, &p, &pos, e);

	document_release(&doc);
	return r < 0 ? r : (int)pos;
}

static void test_choose(void)
{
	struct err e = { 0 };

	is_num(choose(ENTRY("linux", "arm64") "," ENTRY("linux", "amd64"), "linux/amd64", NULL), 1,
	       "T75 by platform");
	is_num(choose(VARIANT("v1") "," VARIANT("v3") "," VARIANT("v2"), "linux/amd64/v3", NULL), 1,
	       "T75 the best variant wherever it stands");
	is_num(choose(VARIANT("v4") "," VARIANT("v1") "," VARIANT("v3"), "linux/amd64", NULL), 1,
	       "T75 none above the wanted");
	is_num(choose(ENTRY("linux", "amd64") "," ENTRY("linux", "amd64"), "linux/amd64", NULL), 0,
	       "of two alike the first");
	is_num(choose(BARE "," ENTRY("linux", "amd64"), "linux/amd64", NULL), 1,
	       "one that says its platform before one that does not");
	is_num(choose(ENTRY("linux", "arm64") "," BARE, "linux/amd64", NULL), 1,
	       "which serves else");
	is_num(choose("{" TYPE("application/x") D ",\"size\":1}", "linux/amd64", NULL), E_NOT_FOUND,
	       "but not what is no image");
	is_num(choose("{" TYPE(MEDIA_OCI_MANIFEST) D ",\"size\":1,\"artifactType\":\"a/sbom\"}",
		      "linux/amd64", NULL),
	       E_NOT_FOUND, "nor an artifact");
	is_num(choose(ENTRY("unknown", "unknown"), "linux/amd64", NULL), E_NOT_FOUND,
	       "T75 nor an attestation");
	is_num(choose(ENTRY("linux", "arm64") "," ENTRY("windows", "amd64") "," ENTRY("unknown",
										      "unknown"),
		      "linux/amd64", &e),
	       E_NOT_FOUND, "T75 none");
	is_str(e.text, "no image for linux/amd64 in the index; it has linux/arm64, windows/amd64",
	       "the error lists what there is");
}

static int config(const char *text, struct config *c, struct err *e)
{
	struct buf raw = BUF_INIT;

	buf_adds(&raw, text);
	return config_parse(&raw, c, e);
}

#define ROOTFS(ids) "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" ids "]}"

static void test_config(void)
{
	struct platform amd64, arm64;
	struct document m = { .kind = DOC_MANIFEST, .layers_n = 1 };
	struct config c;
	struct err e = { 0 };

	platform_parse("linux/amd64", &amd64, NULL);
	platform_parse("linux/arm64", &arm64, NULL);
	if (ok(config("{\"os\":\"linux\",\"architecture\":\"amd64\",\"x\":1," ROOTFS("\"sha256:" HEX
										     "\"") "}",
		      &c, NULL) == 0,
	       "a config")) {
		is_num(c.diff_ids_n, 1, "its diff_ids");
		is_str(c.platform.arch, "amd64", "its platform");
		ok(json_get(c.json, "x"), "unknown members are kept");
		is_num(config_check(&c, &m, &amd64, NULL), 0, "it fits its manifest");
		is_num(config_check(&c, &m, &arm64, &e), E_FORMAT, "T75 but no other platform's");
		is_str(e.text,
		       "the index lists the image as linux/arm64 but its config says linux/amd64",
		       "T75 and says which");
		platform_parse("windows/amd64", &arm64, NULL);
		is_num(config_check(&c, &m, &arm64, NULL), E_FORMAT, "T75 nor another system's");
		m.layers_n = 2;
		is_num(config_check(&c, &m, NULL, NULL), E_FORMAT, "T76 nor one of more layers");
		config_release(&c);
	}
	is_num(config("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null}}", &c, NULL), 0,
	       "no layers, no platform");
	is_str(c.platform.os, "", "which is unknown then");
	config_release(&c);
	is_num(config("{}", &c, NULL), E_FORMAT, "no rootfs");
	is_num(config("[]", &c, NULL), E_FORMAT, "no object");
	is_num(config("{\"rootfs\":{\"type\":\"x\",\"diff_ids\":[]}}", &c, NULL), E_FORMAT,
	       "another type of rootfs");
	is_num(config("{" ROOTFS("1") "}", &c, NULL), E_FORMAT, "a diff_id that is a number");
	is_num(config("{" ROOTFS("\"sha256:" HEX "0\"") "}", &c, NULL), E_FORMAT,
	       "T68 or no digest");
	is_num(config("{" ROOTFS("") "," ROOTFS("") "}", &c, NULL), E_FORMAT, "T74 two rootfs");
	is_num(config("{\"RootFS\":{}," ROOTFS("") "}", &c, NULL), E_FORMAT,
	       "T74 one more for a parser that ignores case");
	is_num(config("{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[],\"Diff_Ids\":[\"x\"]}}", &c,
		      NULL),
	       E_FORMAT, "T74 other diff_ids for such a parser");
	is_num(config("{\"config\":{\"user\":\"x\"}," ROOTFS("") "}", &c, NULL), E_FORMAT,
	       "T74 a user for such a parser");
	is_num(config("{\"config\":{\"User\":\"x\"},\"container_config\":{\"user\":1}," ROOTFS(
			      "") "}",
		      &c, NULL),
	       0, "what nobody reads may be anything");
	config_release(&c);
}

int main(void)
{
	test_manifest();
	test_ambiguous();
	test_confusion();
	test_budgets();
	test_descriptor();
	test_compression();
	test_choose();
	test_config();
	return done_testing();
}
