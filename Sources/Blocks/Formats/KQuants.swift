// swift-format-ignore-file: AlwaysUseLowerCamelCase, the names are ggml's

import CKernels

/// Super-blocks of 256 elements whose sub-blocks have quantized scales.
extension BlockFormat {
  /// 2-bit quants, 16 sub-blocks of 16 with 4-bit scales and mins.
  public static let q2_K = BlockFormat(
    id: 10, "Q2_K", elements: 256, bytes: 84, fallback: 2,
    coding: .kernel(limit: 65504 * 15) { $0.q2_k })
  /// 3-bit quants, 16 sub-blocks of 16 with 6-bit scales.
  public static let q3_K = BlockFormat(
    id: 11, "Q3_K", elements: 256, bytes: 110, fallback: 2,
    coding: .kernel(limit: 65504 * 124) { $0.q3_k })
  /// 4-bit quants, 8 sub-blocks of 32 with 6-bit scales and mins.
  public static let q4_K = BlockFormat(
    id: 12, "Q4_K", elements: 256, bytes: 144, fallback: 6,
    coding: .kernel(limit: 65504 * 63) { $0.q4_k })
  /// 5-bit quants, 8 sub-blocks of 32 with 6-bit scales and mins.
  public static let q5_K = BlockFormat(
    id: 13, "Q5_K", elements: 256, bytes: 176, fallback: 7,
    coding: .kernel(limit: 65504 * 63) { $0.q5_k })
  /// 6-bit quants, 16 sub-blocks of 16 with 8-bit scales.
  public static let q6_K = BlockFormat(
    id: 14, "Q6_K", elements: 256, bytes: 210, fallback: 8,
    coding: .kernel(limit: 65504 * 3937) { $0.q6_k })
}
