/*
 * What zstd's compressor calls of its search over long distances and of its blocks of a wanted size,
 * neither of which is ever switched on: 10 KB. Asked for their sizes and for what they have still to skip,
 * they have none.
 */
#include "compress/zstd_compress_superblock.h"
#include "compress/zstd_ldm.h"

size_t ZSTD_ldm_getTableSize(ldmParams_t params)
{
	return 0;
}

size_t ZSTD_ldm_getMaxNbSeq(ldmParams_t params, size_t max)
{
	return 0;
}

void ZSTD_ldm_skipSequences(RawSeqStore_t *s, size_t n, U32 min)
{
}

void ZSTD_ldm_skipRawSeqStoreBytes(RawSeqStore_t *s, size_t n)
{
}

void ZSTD_ldm_adjustParameters(ldmParams_t *params, const ZSTD_compressionParameters *c)
{
	__builtin_trap();
}

void ZSTD_ldm_fillHashTable(ldmState_t *s, const BYTE *p, const BYTE *end, const ldmParams_t *params)
{
	__builtin_trap();
}

size_t ZSTD_ldm_generateSequences(ldmState_t *s, RawSeqStore_t *sequences, const ldmParams_t *params, const void *p, size_t n)
{
	__builtin_trap();
}

size_t ZSTD_ldm_blockCompress(RawSeqStore_t *raw, ZSTD_MatchState_t *ms, SeqStore_t *sequences, U32 rep[ZSTD_REP_NUM],
			      ZSTD_ParamSwitch_e rows, const void *p, size_t n)
{
	__builtin_trap();
}

size_t ZSTD_compressSuperBlock(ZSTD_CCtx *c, void *to, size_t room, const void *p, size_t n, unsigned last)
{
	__builtin_trap();
}
