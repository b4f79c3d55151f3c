// Made by tools/embed.sh: one #embed (C23) for each data file of formats/.
#include "cformats.h"

static const unsigned char file_0[] = {
#embed "../../formats/recipes/bf16.json5"
};
static const unsigned char file_1[] = {
#embed "../../formats/recipes/f16.json5"
};
static const unsigned char file_2[] = {
#embed "../../formats/recipes/f32.json5"
};
static const unsigned char file_3[] = {
#embed "../../formats/recipes/iq4_nl.json5"
};
static const unsigned char file_4[] = {
#embed "../../formats/recipes/iq4_xs.json5"
};
static const unsigned char file_5[] = {
#embed "../../formats/recipes/q2_k.json5"
};
static const unsigned char file_6[] = {
#embed "../../formats/recipes/q3_k_l.json5"
};
static const unsigned char file_7[] = {
#embed "../../formats/recipes/q3_k_m.json5"
};
static const unsigned char file_8[] = {
#embed "../../formats/recipes/q3_k_s.json5"
};
static const unsigned char file_9[] = {
#embed "../../formats/recipes/q4_0.json5"
};
static const unsigned char file_10[] = {
#embed "../../formats/recipes/q4_1.json5"
};
static const unsigned char file_11[] = {
#embed "../../formats/recipes/q4_k_m.json5"
};
static const unsigned char file_12[] = {
#embed "../../formats/recipes/q4_k_s.json5"
};
static const unsigned char file_13[] = {
#embed "../../formats/recipes/q5_0.json5"
};
static const unsigned char file_14[] = {
#embed "../../formats/recipes/q5_1.json5"
};
static const unsigned char file_15[] = {
#embed "../../formats/recipes/q5_k_m.json5"
};
static const unsigned char file_16[] = {
#embed "../../formats/recipes/q5_k_s.json5"
};
static const unsigned char file_17[] = {
#embed "../../formats/recipes/q6_k.json5"
};
static const unsigned char file_18[] = {
#embed "../../formats/recipes/q8_0.json5"
};

static const tf_file table[] = {
    {"recipes/bf16.json5", file_0, sizeof file_0},
    {"recipes/f16.json5", file_1, sizeof file_1},
    {"recipes/f32.json5", file_2, sizeof file_2},
    {"recipes/iq4_nl.json5", file_3, sizeof file_3},
    {"recipes/iq4_xs.json5", file_4, sizeof file_4},
    {"recipes/q2_k.json5", file_5, sizeof file_5},
    {"recipes/q3_k_l.json5", file_6, sizeof file_6},
    {"recipes/q3_k_m.json5", file_7, sizeof file_7},
    {"recipes/q3_k_s.json5", file_8, sizeof file_8},
    {"recipes/q4_0.json5", file_9, sizeof file_9},
    {"recipes/q4_1.json5", file_10, sizeof file_10},
    {"recipes/q4_k_m.json5", file_11, sizeof file_11},
    {"recipes/q4_k_s.json5", file_12, sizeof file_12},
    {"recipes/q5_0.json5", file_13, sizeof file_13},
    {"recipes/q5_1.json5", file_14, sizeof file_14},
    {"recipes/q5_k_m.json5", file_15, sizeof file_15},
    {"recipes/q5_k_s.json5", file_16, sizeof file_16},
    {"recipes/q6_k.json5", file_17, sizeof file_17},
    {"recipes/q8_0.json5", file_18, sizeof file_18},
    {0, 0, 0},
};

const tf_file *tf_files(void) { return table; }
size_t tf_file_count(void) { return 19; }
