extension BlockFormat {
  /// ggml's types that have a name and a size here, but no encoder or decoder
  /// (numbers and sizes: ggml include/ggml.h, src/ggml-common.h; fallbacks: llama.cpp src/llama-quant.cpp).
  static let sizedOnly: [BlockFormat] = [
    BlockFormat(id: 9, "Q8_1", elements: 32, bytes: 36),
    BlockFormat(id: 15, "Q8_K", elements: 256, bytes: 292),
    BlockFormat(id: 16, "IQ2_XXS", elements: 256, bytes: 66, fallback: 20),
    BlockFormat(id: 17, "IQ2_XS", elements: 256, bytes: 74, fallback: 20),
    BlockFormat(id: 18, "IQ3_XXS", elements: 256, bytes: 98, fallback: 20),
    BlockFormat(id: 19, "IQ1_S", elements: 256, bytes: 50, fallback: 20),
    BlockFormat(id: 21, "IQ3_S", elements: 256, bytes: 110, fallback: 20),
    BlockFormat(id: 22, "IQ2_S", elements: 256, bytes: 82, fallback: 20),
    BlockFormat(id: 24, "I8", elements: 1, bytes: 1, quantized: false),
    BlockFormat(id: 25, "I16", elements: 1, bytes: 2, quantized: false),
    BlockFormat(id: 26, "I32", elements: 1, bytes: 4, quantized: false),
    BlockFormat(id: 27, "I64", elements: 1, bytes: 8, quantized: false),
    BlockFormat(id: 28, "F64", elements: 1, bytes: 8, quantized: false),
    BlockFormat(id: 29, "IQ1_M", elements: 256, bytes: 56, fallback: 20),
    BlockFormat(id: 34, "TQ1_0", elements: 256, bytes: 54, fallback: 2),
    BlockFormat(id: 35, "TQ2_0", elements: 256, bytes: 66, fallback: 2),
    BlockFormat(id: 39, "MXFP4", elements: 32, bytes: 17),
    BlockFormat(id: 40, "NVFP4", elements: 64, bytes: 36),
    BlockFormat(id: 41, "Q1_0", elements: 128, bytes: 18),
    BlockFormat(id: 42, "Q2_0", elements: 64, bytes: 18, fallback: 2),
  ]

  /// The name of a type that ggml once had under the number `id` and has removed; nil for every other number.
  /// Files that hold one cannot be read any more: the weights have to be made again from their source.
  public static func removedName(id: UInt32) -> String? {
    switch id {
    case 4: "Q4_2"
    case 5: "Q4_3"
    case 31: "Q4_0_4_4"
    case 32: "Q4_0_4_8"
    case 33: "Q4_0_8_8"
    case 36: "IQ4_NL_4_4"
    case 37: "IQ4_NL_4_8"
    case 38: "IQ4_NL_8_8"
    default: nil
    }
  }
}
