/*
 * What the trimmed igzip needs in place of ISA-L's own dispatchers, which would pull in every
 * checksum and every compressor: the gzip CRC by carry-less multiplication where the processor has
 * it, and the plain Adler-32 (only zlib's container uses that).
 */
#include <stdint.h>

uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *p, uint64_t len);
uint32_t crc32_gzip_refl_base(uint32_t crc, const unsigned char *p, uint64_t len);
uint32_t crc32_gzip_refl_by8(uint32_t crc, const unsigned char *p, uint64_t len);
uint32_t isal_adler32(uint32_t adler, const unsigned char *p, uint64_t len);
uint32_t adler32_base(uint32_t adler, const unsigned char *p, uint64_t len);

uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *p, uint64_t len)
{
	if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
		return crc32_gzip_refl_by8(crc, p, len);
	return crc32_gzip_refl_base(crc, p, len);
}

uint32_t isal_adler32(uint32_t adler, const unsigned char *p, uint64_t len)
{
	return adler32_base(adler, p, len);
}
