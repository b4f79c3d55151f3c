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

// A mapping of a file ends where the file ends: when the file is cut short, touching what was lost raises SIGBUS. After
// ts_watch_mappings a touch inside a range of ts_mapping_add finds zeros in place of the lost pages and raises the mark
// that ts_mapping_is_torn reads; any other SIGBUS goes to the handler before.

// Installs the handler, once in a process; 0, or -1 with errno.
int ts_watch_mappings(void);
// Takes a range of whole pages into the table; its place, or -1 when the table of 65536 is full.
int ts_mapping_add(const void *start, uint64_t byte_count);
// Takes it out again; call before the range is unmapped.
void ts_mapping_remove(int place);
// Whether pages of the range were lost.
int ts_mapping_is_torn(int place);

// A word that threads wait on. Adds one and returns the new value; everything before it is seen by who reads it.
uint32_t ts_word_add(uint32_t *word);
uint32_t ts_word_load(const uint32_t *word);
// Sleeps while the word is `value`, at most `microseconds` (0: no limit); may return early.
void ts_word_wait(uint32_t *word, uint32_t value, int64_t microseconds);
// Wakes all who sleep on the word.
void ts_word_wake(uint32_t *word);
// A few dozen cycles of doing nothing, kind to the other thread of the core.
static inline void ts_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

#endif
