// swift-format-ignore-file: AlwaysUseLowerCamelCase, the names are ggml's

import CKernels

/// 4-bit indices into a fixed table of 16 levels that lie closer together around zero.
extension BlockFormat {
  /// Blocks of 32 with a half-precision scale each.
  public static let iq4_NL = BlockFormat(
    id: 20, "IQ4_NL", elements: 32, bytes: 18, coding: .kernel(limit: 65504 * 127) { $0.iq4_nl })
  /// Super-blocks of 256: 8 sub-blocks of 32 with 6-bit scales.
  public static let iq4_XS = BlockFormat(
    id: 23, "IQ4_XS", elements: 256, bytes: 136, fallback: 20,
    coding: .kernel(limit: 65504 * 3937) { $0.iq4_xs })
}
