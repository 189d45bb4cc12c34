/*
 * Libseccomp's tree has a comparison for every call; what it answers is the same over long runs of
 * numbers. A tree over the runs is a quarter of its size, which the kernel checks, translates and
 * tries out at every start of a container.
 *
 * Only instructions that the kernel can follow while it looks for calls that are always allowed are
 * used, as it remembers those and does not run the program for them any more.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/runtime/seccomp_compact.h"

enum { RUNS_MAX = 512, STEPS_MAX = 4096, UNKNOWN = -1 };

uint32_t seccomp_answer(const struct sock_filter *program, int n, const struct seccomp_data *d,
			bool args_known)
{
	uint32_t a = 0;

	for (int pc = 0; pc < n; pc++) {
		const struct sock_filter *f = &program[pc];
		bool yes = false;

		switch (f->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (!args_known &&
			    f->k >= offsetof(struct seccomp_data, instruction_pointer))
				return SECCOMP_ARGUMENTS;
			if (f->k > sizeof(*d) - sizeof(a))
				return UINT32_MAX;
			memcpy(&a, (const char *)d + f->k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= f->k;
			continue;
		case BPF_JMP | BPF_JA:
			pc += (int)f->k;
			continue;
		case BPF_RET | BPF_K:
			return f->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == f->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > f->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= f->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = a & f->k;
			break;
		default:
			return UINT32_MAX;
		}
		pc += yes ? f->jt : f->jf;
	}
	return UINT32_MAX;
}

struct run {
	uint32_t from, answer;
};

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* An answer can change only at a number that the program compares with, or behind one. */
static int find_runs(const struct sock_filter *full, int n, uint32_t audit, struct run *runs)
{
	uint32_t *edge = calloc((size_t)n * 2 + 1, sizeof(*edge));
	struct seccomp_data d = { .arch = audit };
	int edges = 1, k = 0;

	if (!edge)
		return -1;
	for (int i = 0; i < n; i++) {
		if (BPF_CLASS(full[i].code) != BPF_JMP || BPF_OP(full[i].code) == BPF_JA)
			continue;
		edge[edges++] = full[i].k;
		if (full[i].k != UINT32_MAX)
			edge[edges++] = full[i].k + 1;
	}
	qsort(edge, (size_t)edges, sizeof(*edge), compare);
	for (int i = 0; i < edges && k >= 0; i++) {
		uint32_t answer;

		d.nr = (int)edge[i];
		answer = seccomp_answer(full, n, &d, false);
		if (k && runs[k - 1].answer == answer)
			continue;
		if (answer == UINT32_MAX || k == RUNS_MAX)
			k = -1;
		else
			runs[k++] = (struct run){ edge[i], answer };
	}
	free(edge);
	return k;
}

/* One architecture's part, while it is written. Targets below zero are answers, ~i the i-th of
 * them. */
struct part {
	struct sock_filter *out;
	int n, max;
	struct {
		int true_to, false_to;
	} to[RUNS_MAX];
	uint32_t answers[8];
	int answers_n;
	bool failed;
};

static int answer_target(struct part *p, uint32_t answer)
{
	int i = 0;

	while (i < p->answers_n && p->answers[i] != answer)
		i++;
	if (i == p->answers_n) {
		if (i == (int)(sizeof(p->answers) / sizeof(p->answers[0]))) {
			p->failed = true;
			return ~0;
		}
		p->answers[p->answers_n++] = answer;
	}
	return ~i;
}

/* Writes the tree for runs [from, to), at most nine deep; the target that leads to it. */
static int tree(struct part *p, const struct run *runs, int from, int to)
{
	int middle = (from + to) / 2, here = p->n;

	if (to - from == 1)
		return answer_target(p, runs[from].answer);
	if (p->n == p->max) {
		p->failed = true;
		return ~0;
	}
	p->out[p->n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, runs[middle].from, 0, 0);
	p->to[here].false_to = tree(p, runs, from, middle);
	p->to[here].true_to = tree(p, runs, middle, to);
	return here;
}

static uint8_t offset(struct part *p, int from, int target, int answers_at)
{
	int at = target < 0 ? answers_at + ~target : target;

	if (at - from - 1 < 0 || at - from - 1 > 255)
		p->failed = true;
	return (uint8_t)(at - from - 1);
}

static int one_part(const struct sock_filter *full, int n, uint32_t audit, struct sock_filter *out,
		    int max)
{
	static struct run runs[RUNS_MAX];
	static struct part part;
	struct part *p = &part;
	int k = find_runs(full, n, audit, runs);

	if (k < 0 || max < 16)
		return -1;
	/* Three instructions in front, answers behind. */
	*p = (struct part){ .out = out + 3, .max = max - 11 < RUNS_MAX ? max - 11 : RUNS_MAX };
	if (k == 1)
		return -1;
	tree(p, runs, 0, k);
	for (int i = 0; i < p->n && !p->failed; i++) {
		out[3 + i].jt = offset(p, i, p->to[i].true_to, p->n);
		out[3 + i].jf = offset(p, i, p->to[i].false_to, p->n);
	}
	out[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, arch));
	out[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, audit, 0, 0);
	out[2] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, nr));
	for (int i = 0; i < p->answers_n; i++)
		out[3 + p->n + i] =
			p->answers[i] == SECCOMP_ARGUMENTS
				? (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0)
				: (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, p->answers[i]);
	if (p->failed || 1 + p->n + p->answers_n > 255)
		return -1;
	out[1].jf = (uint8_t)(1 + p->n + p->answers_n);
	return 3 + p->n + p->answers_n;
}

int seccomp_compact(const struct sock_filter *full, int n, const uint32_t *audit, int audit_n,
		    struct sock_filter *out, int max)
{
	int k = 0;

	for (int i = 0; i < audit_n; i++) {
		int r = one_part(full, n, audit[i], out + k, max - k);

		if (r < 0)
			return -1;
		k += r;
	}
	/* What depends on arguments goes on behind the end. */
	for (int i = 0; i < k; i++)
		if (out[i].code == (BPF_JMP | BPF_JA))
			out[i].k = (uint32_t)(k - i - 1);
	return k;
}
