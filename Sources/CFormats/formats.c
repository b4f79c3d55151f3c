// Made by tools/embed.sh: one #embed (C23) for each data file of formats/.
#include "cformats.h"

static const unsigned char file_0[] = {
#embed "../../formats/architectures/bert.json5"
};
static const unsigned char file_1[] = {
#embed "../../formats/architectures/gemma-embedding.json5"
};
static const unsigned char file_2[] = {
#embed "../../formats/architectures/gemma.json5"
};
static const unsigned char file_3[] = {
#embed "../../formats/architectures/gemma2.json5"
};
static const unsigned char file_4[] = {
#embed "../../formats/architectures/gemma3.json5"
};
static const unsigned char file_5[] = {
#embed "../../formats/architectures/llama.json5"
};
static const unsigned char file_6[] = {
#embed "../../formats/architectures/mistral.json5"
};
static const unsigned char file_7[] = {
#embed "../../formats/architectures/qwen2.json5"
};
static const unsigned char file_8[] = {
#embed "../../formats/architectures/qwen3.json5"
};
static const unsigned char file_9[] = {
#embed "../../formats/config/engine-keys.json5"
};
static const unsigned char file_10[] = {
#embed "../../formats/config/engine-tokenizers.json5"
};
static const unsigned char file_11[] = {
#embed "../../formats/config/harmless.json5"
};
static const unsigned char file_12[] = {
#embed "../../formats/config/metadata-types.json5"
};
static const unsigned char file_13[] = {
#embed "../../formats/pretokenizers/llama.cpp.json5"
};
static const unsigned char file_14[] = {
#embed "../../formats/prompts/built-in.json5"
};
static const unsigned char file_15[] = {
#embed "../../formats/recipes/bf16.json5"
};
static const unsigned char file_16[] = {
#embed "../../formats/recipes/f16.json5"
};
static const unsigned char file_17[] = {
#embed "../../formats/recipes/f32.json5"
};
static const unsigned char file_18[] = {
#embed "../../formats/recipes/iq4_nl.json5"
};
static const unsigned char file_19[] = {
#embed "../../formats/recipes/iq4_xs.json5"
};
static const unsigned char file_20[] = {
#embed "../../formats/recipes/q2_k.json5"
};
static const unsigned char file_21[] = {
#embed "../../formats/recipes/q3_k_l.json5"
};
static const unsigned char file_22[] = {
#embed "../../formats/recipes/q3_k_m.json5"
};
static const unsigned char file_23[] = {
#embed "../../formats/recipes/q3_k_s.json5"
};
static const unsigned char file_24[] = {
#embed "../../formats/recipes/q4_0.json5"
};
static const unsigned char file_25[] = {
#embed "../../formats/recipes/q4_1.json5"
};
static const unsigned char file_26[] = {
#embed "../../formats/recipes/q4_k_m.json5"
};
static const unsigned char file_27[] = {
#embed "../../formats/recipes/q4_k_s.json5"
};
static const unsigned char file_28[] = {
#embed "../../formats/recipes/q5_0.json5"
};
static const unsigned char file_29[] = {
#embed "../../formats/recipes/q5_1.json5"
};
static const unsigned char file_30[] = {
#embed "../../formats/recipes/q5_k_m.json5"
};
static const unsigned char file_31[] = {
#embed "../../formats/recipes/q5_k_s.json5"
};
static const unsigned char file_32[] = {
#embed "../../formats/recipes/q6_k.json5"
};
static const unsigned char file_33[] = {
#embed "../../formats/recipes/q8_0.json5"
};
static const unsigned char file_34[] = {
#embed "../../formats/tolerances/bf16.json5"
};
static const unsigned char file_35[] = {
#embed "../../formats/tolerances/f16.json5"
};
static const unsigned char file_36[] = {
#embed "../../formats/tolerances/f32.json5"
};
static const unsigned char file_37[] = {
#embed "../../formats/tolerances/identical.json5"
};
static const unsigned char file_38[] = {
#embed "../../formats/tolerances/q2_k.json5"
};
static const unsigned char file_39[] = {
#embed "../../formats/tolerances/q3_k_m.json5"
};
static const unsigned char file_40[] = {
#embed "../../formats/tolerances/q4_0.json5"
};
static const unsigned char file_41[] = {
#embed "../../formats/tolerances/q4_k_m.json5"
};
static const unsigned char file_42[] = {
#embed "../../formats/tolerances/q5_k_m.json5"
};
static const unsigned char file_43[] = {
#embed "../../formats/tolerances/q6_k.json5"
};
static const unsigned char file_44[] = {
#embed "../../formats/tolerances/q8_0.json5"
};
static const unsigned char file_45[] = {
#embed "../../formats/unicode/canonical.json5"
};

static const tf_file table[] = {
    {"architectures/bert.json5", file_0, sizeof file_0},
    {"architectures/gemma-embedding.json5", file_1, sizeof file_1},
    {"architectures/gemma.json5", file_2, sizeof file_2},
    {"architectures/gemma2.json5", file_3, sizeof file_3},
    {"architectures/gemma3.json5", file_4, sizeof file_4},
    {"architectures/llama.json5", file_5, sizeof file_5},
    {"architectures/mistral.json5", file_6, sizeof file_6},
    {"architectures/qwen2.json5", file_7, sizeof file_7},
    {"architectures/qwen3.json5", file_8, sizeof file_8},
    {"config/engine-keys.json5", file_9, sizeof file_9},
    {"config/engine-tokenizers.json5", file_10, sizeof file_10},
    {"config/harmless.json5", file_11, sizeof file_11},
    {"config/metadata-types.json5", file_12, sizeof file_12},
    {"pretokenizers/llama.cpp.json5", file_13, sizeof file_13},
    {"prompts/built-in.json5", file_14, sizeof file_14},
    {"recipes/bf16.json5", file_15, sizeof file_15},
    {"recipes/f16.json5", file_16, sizeof file_16},
    {"recipes/f32.json5", file_17, sizeof file_17},
    {"recipes/iq4_nl.json5", file_18, sizeof file_18},
    {"recipes/iq4_xs.json5", file_19, sizeof file_19},
    {"recipes/q2_k.json5", file_20, sizeof file_20},
    {"recipes/q3_k_l.json5", file_21, sizeof file_21},
    {"recipes/q3_k_m.json5", file_22, sizeof file_22},
    {"recipes/q3_k_s.json5", file_23, sizeof file_23},
    {"recipes/q4_0.json5", file_24, sizeof file_24},
    {"recipes/q4_1.json5", file_25, sizeof file_25},
    {"recipes/q4_k_m.json5", file_26, sizeof file_26},
    {"recipes/q4_k_s.json5", file_27, sizeof file_27},
    {"recipes/q5_0.json5", file_28, sizeof file_28},
    {"recipes/q5_1.json5", file_29, sizeof file_29},
    {"recipes/q5_k_m.json5", file_30, sizeof file_30},
    {"recipes/q5_k_s.json5", file_31, sizeof file_31},
    {"recipes/q6_k.json5", file_32, sizeof file_32},
    {"recipes/q8_0.json5", file_33, sizeof file_33},
    {"tolerances/bf16.json5", file_34, sizeof file_34},
    {"tolerances/f16.json5", file_35, sizeof file_35},
    {"tolerances/f32.json5", file_36, sizeof file_36},
    {"tolerances/identical.json5", file_37, sizeof file_37},
    {"tolerances/q2_k.json5", file_38, sizeof file_38},
    {"tolerances/q3_k_m.json5", file_39, sizeof file_39},
    {"tolerances/q4_0.json5", file_40, sizeof file_40},
    {"tolerances/q4_k_m.json5", file_41, sizeof file_41},
    {"tolerances/q5_k_m.json5", file_42, sizeof file_42},
    {"tolerances/q6_k.json5", file_43, sizeof file_43},
    {"tolerances/q8_0.json5", file_44, sizeof file_44},
    {"unicode/canonical.json5", file_45, sizeof file_45},
    {0, 0, 0},
};

const tf_file *tf_files(void) { return table; }
size_t tf_file_count(void) { return 46; }
