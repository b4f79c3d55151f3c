#define _GNU_SOURCE

#include "cfuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// glibc's own allocator under the names it keeps for those who put themselves in front of it.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static int64_t live, lowest, peak, largest;

static void *counted(void *p, size_t request) {
  if (!p) return p;
  live += (int64_t)malloc_usable_size(p);
  if (live > peak) peak = live;
  if ((int64_t)request > largest) largest = (int64_t)request;
  return p;
}

void *malloc(size_t n) { return counted(__libc_malloc(n), n); }

void *calloc(size_t a, size_t b) { return counted(__libc_calloc(a, b), a * b); }

void free(void *p) {
  if (!p) return;
  live -= (int64_t)malloc_usable_size(p);
  __libc_free(p);
}

void *realloc(void *p, size_t n) {
  int64_t old = p ? (int64_t)malloc_usable_size(p) : 0;
  void *q = __libc_realloc(p, n);
  if (q || n == 0) live -= old;
  return counted(q, n);
}

void *memalign(size_t a, size_t n) { return counted(__libc_memalign(a, n), n); }

void *aligned_alloc(size_t a, size_t n) { return counted(__libc_memalign(a, n), n); }

int posix_memalign(void **out, size_t a, size_t n) {
  void *p = __libc_memalign(a, n);
  if (!p) return ENOMEM;
  *out = counted(p, n);
  return 0;
}

int64_t tz_live_bytes(void) { return live; }

void tz_start_counting(void) {
  lowest = live;
  peak = live;
  largest = 0;
}

int64_t tz_peak_bytes(void) { return peak - lowest; }

int64_t tz_largest_request(void) { return largest; }

uint64_t tz_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static const uint8_t *volatile watched;
static volatile size_t watched_count;
static char kept_path[4096];
static unsigned patience;

static void say(const char *text) {
  ssize_t ignored = write(2, text, strlen(text));
  (void)ignored;
}

static void last_words(int number) {
  say(number == SIGPROF ? "fuzz: HANG; input kept in " : "fuzz: CRASH; input kept in ");
  say(kept_path);
  say("\n");
  int f = open(kept_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  size_t done = 0;
  while (f >= 0 && done < watched_count) {
    ssize_t n = write(f, watched + done, watched_count - done);
    if (n <= 0) break;
    done += (size_t)n;
  }
  _exit(1);
}

void tz_install(const char *path, unsigned seconds) {
  strncpy(kept_path, path, sizeof kept_path - 1);
  patience = seconds;
  setvbuf(stdout, NULL, _IOLBF, 0);
  static uint8_t stack[65536];  // a parser that recurses too deep has no stack left for the handler
  stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternative, NULL);
  struct sigaction action = {.sa_handler = last_words, .sa_flags = SA_ONSTACK};
  const int numbers[] = {SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGPROF};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    sigaction(numbers[i], &action, NULL);
  }
}

void tz_watch(const uint8_t *bytes, size_t count, int rearm) {
  watched = bytes;
  watched_count = count;
  if (!rearm) return;
  // Processor time: a busy machine makes nothing look like a hang.
  struct itimerval timer = {.it_value = {.tv_sec = patience}};
  setitimer(ITIMER_PROF, &timer, NULL);
}
