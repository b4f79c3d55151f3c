// What a fuzzer needs from below Swift: every allocation counted, a clock, and the input kept when all else fails.
// One thread only.
#ifndef TINCTURE_CFUZZ_H
#define TINCTURE_CFUZZ_H

#include <stddef.h>
#include <stdint.h>

// Bytes live on the heap now (as the allocator rounds them).
int64_t tz_live_bytes(void);
// Forgets the peaks; what is live now is the floor.
void tz_start_counting(void);
// Most bytes live at one time above the floor, and the largest single request, since tz_start_counting.
int64_t tz_peak_bytes(void);
int64_t tz_largest_request(void);

// Processor time of this thread in nanoseconds: the load of the machine does not count.
uint64_t tz_now(void);

// From now on a fatal signal, or `seconds` of processor time without tz_watch, writes the watched input to `path` and ends the process
// with status 1.
void tz_install(const char *path, unsigned seconds);
// The input under test; must stay valid until the next call. Restarts the clock when `rearm` is not 0.
void tz_watch(const uint8_t *bytes, size_t count, int rearm);

#endif
