// Made by tools/embed.sh: one #embed (C23) for each data file of formats/.
#include "cformats.h"


static const tf_file table[] = {
    {0, 0, 0},
};

const tf_file *tf_files(void) { return table; }
size_t tf_file_count(void) { return 0; }
