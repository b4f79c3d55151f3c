// The table of one instruction set: included last by each isa_*.c, which names it TK_TABLE and TK_ISA_NAME.

#define TK_CODEC(name) {enc_##name, dec_##name}

const tk_kernels TK_TABLE = {
    .isa = TK_ISA_NAME,
    .q4_0 = TK_CODEC(q4_0),
    .q4_1 = TK_CODEC(q4_1),
    .q5_0 = TK_CODEC(q5_0),
    .q5_1 = TK_CODEC(q5_1),
    .q8_0 = TK_CODEC(q8_0),
    .q2_k = TK_CODEC(q2_k),
    .q3_k = TK_CODEC(q3_k),
    .q4_k = TK_CODEC(q4_k),
    .q5_k = TK_CODEC(q5_k),
    .q6_k = TK_CODEC(q6_k),
    .iq4_nl = TK_CODEC(iq4_nl),
    .iq4_xs = TK_CODEC(iq4_xs),
    .f16_to_f32 = f16_to_f32,
    .bf16_to_f32 = bf16_to_f32,
    .f32_to_f16 = f32_to_f16,
    .f32_to_bf16 = f32_to_bf16,
    .find_nonfinite = find_nonfinite,
    .max_magnitude = max_magnitude,
    .affine = affine,
    .squared_error = squared_error,
    .row_maximum = row_maximum,
    .logit_sums = logit_sums,
    .logit_distance = logit_distance,
    .logit_tail = logit_tail,
    .greatest = greatest,
    .project = project,
};
