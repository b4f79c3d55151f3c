// Linux calls that Swift's Glibc module does not show: thin names over them, errors as errno.
#ifndef TINCTURE_CSYSTEM_H
#define TINCTURE_CSYSTEM_H

#include <stdint.h>

// Reserves [0, byte_count) of the file; 0, or -1 with errno.
int ts_reserve(int descriptor, int64_t byte_count);
// Starts writing the range out; a hint.
void ts_start_writeback(int descriptor, int64_t offset, int64_t byte_count);
// Renames unless `to` exists (EEXIST); 0, or -1 with errno.
int ts_rename_new(const char *from, const char *to);
// Number of processors this process may run on, at least 1.
int ts_processor_count(void);

#endif
