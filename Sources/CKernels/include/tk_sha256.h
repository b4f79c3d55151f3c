// SHA-256 (FIPS 180-4): the compression function, with the processor's own instructions where it has them.
#ifndef TINCTURE_TK_SHA256_H
#define TINCTURE_TK_SHA256_H

#include <stddef.h>
#include <stdint.h>

// Runs `block_count` blocks of 64 bytes through `state` (eight words). `data` needs no alignment. The same result on
// every processor; chosen at run time: SHA extensions on x86-64, the SHA-2 instructions on AArch64, else plain C.
void tk_sha256_blocks(uint32_t state[8], const uint8_t *data, size_t block_count);

// The plain C version, which is the specification.
void tk_sha256_blocks_plain(uint32_t state[8], const uint8_t *data, size_t block_count);

#endif
