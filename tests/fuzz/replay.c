/*
 * Stands in for libFuzzer where a fuzz target is built without it: feeds the target each file of its
 * corpus (tests/fuzz/corpus/NAME, NAME that of the program) or of the command line, and reports in TAP.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The copy has the very size of the input, so that a sanitizer sees a read behind its end. */
static int replay(const char *path)
{
	FILE *f = fopen(path, "r");
	static unsigned char in[1 << 22];
	unsigned char *data;
	size_t n;

	if (!f)
		return -1;
	n = fread(in, 1, sizeof(in), f);
	fclose(f);
	data = malloc(n ? n : 1);
	if (!data)
		return -1;
	memcpy(data, in, n);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 0;
}

static int not_hidden(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	char folder[512], path[1024];
	struct dirent **list;
	int n, bad = 0;

	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			bad |= replay(argv[i]);
		return bad != 0;
	}
	snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", name ? name + 1 : argv[0]);
	n = scandir(folder, &list, not_hidden, alphasort);
	if (n <= 0) {
		printf("not ok 1 - %s has no files\n1..1\n", folder);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
		printf("# %s\n", path);
		fflush(stdout);
		int r = replay(path);
		bad |= r;
		printf("%sok %d - %s\n", r ? "not " : "", i + 1, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	printf("1..%d\n", n);
	return bad != 0;
}
