/* WWW-Authenticate and Retry-After. */
#include "libcommon/registry/internal.h"
#include "tests/unit/tap.h"

static char *seen(const char *value)
{
	static char text[1024];
	struct challenge c = { 0 };
	int r = challenge_parse(span_str(value), &c);

	if (r)
		snprintf(text, sizeof(text), "error %s", err_word(r));
	else
		snprintf(text, sizeof(text), "%d realm=%s service=%s scope=%s error=%s", c.scheme,
			 c.realm ? c.realm : "-", c.service ? c.service : "-",
			 c.scope ? c.scope : "-", c.error ? c.error : "-");
	challenge_release(&c);
	return text;
}

#define NOTHING "0 realm=- service=- scope=- error=-"

static void challenges(void)
{
	is_str(seen("Basic realm=\"Registry Realm\""),
	       "1 realm=Registry Realm service=- scope=- error=-", "Basic");
	is_str(seen("basic"), "1 realm=- service=- scope=- error=-",
	       "Basic without a realm, in lower case");
	is_str(seen("Bearer realm=\"https://a.example/token\",service=\"reg\",scope=\"repository:x:pull,push\""),
	       "2 realm=https://a.example/token service=reg scope=repository:x:pull,push error=-",
	       "Bearer");
	is_str(seen("BEARER  Realm = token , SERVICE=\"a\\\"b\\\\c\" ,error=invalid_token"),
	       "2 realm=token service=a\"b\\c scope=- error=invalid_token",
	       "blanks, case, tokens, escapes");
	is_str(seen("Bearer service=x"), NOTHING, "Bearer without a realm is none");
	is_str(seen("Bearer realm=\"\""), NOTHING, "nor with an empty one");
	is_str(seen("Basic realm=\"b\", Bearer realm=\"t\",service=s"),
	       "2 realm=t service=s scope=- error=-", "Bearer is preferred when it comes last");
	is_str(seen("Bearer realm=\"t\", Basic realm=\"b\""), "2 realm=t service=- scope=- error=-",
	       "and first");
	is_str(seen("Negotiate dG9r/ZW4=, Basic realm=x"), "1 realm=x service=- scope=- error=-",
	       "token68 is passed over");
	is_str(seen("Negotiate, Digest nonce=\"1,2\", qop=auth, Basic"),
	       "1 realm=- service=- scope=- error=-",
	       "so are unknown schemes and their parameters");
	is_str(seen(" , ,Basic realm=x,, "), "1 realm=x service=- scope=- error=-",
	       "empty elements");
	is_str(seen(""), NOTHING, "an empty value");
	is_str(seen("Bearer realm=\"a\",realm=\"b\""), "error protocol error", "two realms");
	is_str(seen("Bearer realm=\"a"), "error protocol error", "an open quote");
	is_str(seen("Bearer realm=\"a\\"), "error protocol error", "an open escape");
	is_str(seen("Bearer realm=\"a\rb\""), "error protocol error", "a control byte");
	is_str(seen("Bearer realm=a service=b"), "error protocol error", "a missing comma");
	is_str(seen("Bearer realm=,x=y"), "error protocol error", "a missing value");
	is_str(seen("=x"), "error protocol error", "no scheme");
}

static void several_lines(void)
{
	struct challenge c = { 0 };

	challenge_parse(SPAN("Basic realm=one"), &c);
	challenge_parse(SPAN("Bearer realm=two"), &c);
	challenge_parse(SPAN("Basic realm=three"), &c);
	is_num(c.scheme, CHALLENGE_BEARER, "the best of several lines");
	is_str(c.realm, "two", "is kept");
	is_num(challenge_parse(SPAN("Bearer \""), &c), E_PROTOCOL, "a bad line");
	is_str(c.realm, "two", "changes nothing");
	challenge_release(&c);

	static unsigned char big[9000];
	memset(big, ',', sizeof(big));
	is_num(challenge_parse(span_of(big, sizeof(big)), &c), E_PROTOCOL, "a value of 9000 bytes");
}

static void retry_after(void)
{
	static const int64_t then = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */
	static const struct {
		const char *value;
		int64_t now, want;
	} rows[] = {
		{ "120", 0, 120 },
		{ " 0 ", 0, 0 },
		{ "99999999999999999999999", 0, INT64_C(1) << 31 },
		{ "4294967296", 0, INT64_C(1) << 31 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", then - 10, 10 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", then - 10, 10 },
		{ "Sun Nov  6 08:49:37 1994", then - 10, 10 },
		{ "Wed Nov 16 08:49:37 1994", then, 864000 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", then + 10, 0 },
		{ "Thu, 29 Feb 2024 00:00:00 GMT", 1709164800 - 1, 1 },
		{ "Fri, 01 Mar 2024 00:00:00 GMT", 1709164800, 86400 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", 0, INT64_C(1) << 31 },
		{ "-1", 0, -1 },
		{ "1.5", 0, -1 },
		{ "", 0, -1 },
		{ "soon", 0, -1 },
		{ "Sun, 06 Nov 1994 08:49:37", 0, -1 },
		{ "Sun, 06 Nov 1994 24:49:37 GMT", 0, -1 },
		{ "Sun, 00 Nov 1994 08:49:37 GMT", 0, -1 },
		{ "Sun, 06 Nuv 1994 08:49:37 GMT", 0, -1 },
		{ "1234, 06 Nov 1994 08:49:37 GMT", 0, -1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		is_num(retry_after_parse(span_str(rows[i].value), rows[i].now), rows[i].want,
		       rows[i].value);
	/* two digits of a year: at most 50 years ahead */
	ok(retry_after_parse(SPAN("Sunday, 06-Nov-30 08:49:37 GMT"), 1700000000) > 0, "30 is 2030");
	is_num(retry_after_parse(SPAN("Sunday, 06-Nov-94 08:49:37 GMT"), 1700000000), 0,
	       "94 is 1994");
}

int main(void)
{
	challenges();
	several_lines();
	retry_after();
	return done_testing();
}
