#define _GNU_SOURCE 1
#include "csystem.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int ts_reserve(int descriptor, int64_t byte_count) {
  return fallocate(descriptor, 0, 0, byte_count);
}

void ts_start_writeback(int descriptor, int64_t offset, int64_t byte_count) {
  (void)sync_file_range(descriptor, offset, byte_count, SYNC_FILE_RANGE_WRITE);
}

int ts_rename_new(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int ts_processor_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count > 0 ? (int)count : 1;
}

uint32_t ts_word_add(uint32_t *word) { return __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST); }

uint32_t ts_word_load(const uint32_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }

void ts_word_wait(uint32_t *word, uint32_t value, int64_t microseconds) {
  struct timespec limit = {microseconds / 1000000, microseconds % 1000000 * 1000};
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, microseconds > 0 ? &limit : NULL, NULL, 0);
}

void ts_word_wake(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
