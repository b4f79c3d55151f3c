#define _GNU_SOURCE 1
#include "csystem.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
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

// The table is read inside a signal handler: no lock, each word is whole by itself. A place is taken by its state, and its
// range counts once `end` is set.
enum { MAPPING_LIMIT = 65536 };
static struct {
  uintptr_t start, end;
  uint32_t is_taken, is_torn;
} mappings[MAPPING_LIMIT];
static int mapping_count;  // places ever taken
static long page_size;
static struct sigaction handler_before;

int ts_mapping_add(const void *start, uint64_t byte_count) {
  for (int i = 0; i < MAPPING_LIMIT; i++) {
    uint32_t free_place = 0;
    if (!__atomic_compare_exchange_n(&mappings[i].is_taken, &free_place, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      continue;
    __atomic_store_n(&mappings[i].is_torn, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&mappings[i].start, (uintptr_t)start, __ATOMIC_SEQ_CST);
    __atomic_store_n(&mappings[i].end, (uintptr_t)start + byte_count, __ATOMIC_SEQ_CST);
    int seen = __atomic_load_n(&mapping_count, __ATOMIC_SEQ_CST);
    while (seen <= i && !__atomic_compare_exchange_n(&mapping_count, &seen, i + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    return i;
  }
  return -1;
}

void ts_mapping_remove(int place) {
  if (place < 0) return;
  __atomic_store_n(&mappings[place].end, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&mappings[place].is_taken, 0, __ATOMIC_SEQ_CST);
}

int ts_mapping_is_torn(int place) {
  return place >= 0 && __atomic_load_n(&mappings[place].is_torn, __ATOMIC_SEQ_CST) != 0;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
  (void)context;
  uintptr_t address = (uintptr_t)info->si_addr;
  int count = __atomic_load_n(&mapping_count, __ATOMIC_SEQ_CST);
  for (int i = 0; i < count; i++) {
    uintptr_t start = __atomic_load_n(&mappings[i].start, __ATOMIC_SEQ_CST);
    uintptr_t end = __atomic_load_n(&mappings[i].end, __ATOMIC_SEQ_CST);
    if (address < start || address >= end) continue;
    void *page = (void *)(address / (uintptr_t)page_size * (uintptr_t)page_size);
    if (mmap(page, (size_t)page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != page) break;
    __atomic_store_n(&mappings[i].is_torn, 1, __ATOMIC_SEQ_CST);
    return;
  }
  // Not ours: the touch is repeated on return and meets whoever was here before.
  sigaction(number, &handler_before, NULL);
}

int ts_watch_mappings(void) {
  page_size = sysconf(_SC_PAGESIZE);
  struct sigaction action = {0};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &handler_before);
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
