// The files of formats/, carried inside the binary.
#ifndef TINCTURE_CFORMATS_H
#define TINCTURE_CFORMATS_H

#include <stddef.h>

typedef struct tf_file {
  const char *name;  // path below formats/, e.g. "recipes/q4_k_m.json5"
  const unsigned char *bytes;
  size_t byte_count;
} tf_file;

// The first of `tf_file_count()` entries, sorted by name.
const tf_file *tf_files(void);
size_t tf_file_count(void);

#endif
