// swift-format-ignore-file: AlwaysUseLowerCamelCase, the names are ggml's

import CKernels

extension BlockFormat {
  /// 4-bit quants of one signed scale: x = d (q - 8).
  public static let q4_0 = BlockFormat(
    id: 2, "Q4_0", elements: 32, bytes: 18, coding: .kernel(limit: 65504 * 8) { $0.q4_0 })
  /// 4-bit quants with a min: x = d q + m.
  public static let q4_1 = BlockFormat(
    id: 3, "Q4_1", elements: 32, bytes: 20, coding: .kernel(limit: 65504 * 16) { $0.q4_1 })
  /// 5-bit quants of one signed scale: x = d (q - 16).
  public static let q5_0 = BlockFormat(
    id: 6, "Q5_0", elements: 32, bytes: 22, coding: .kernel(limit: 65504 * 16) { $0.q5_0 })
  /// 5-bit quants with a min: x = d q + m.
  public static let q5_1 = BlockFormat(
    id: 7, "Q5_1", elements: 32, bytes: 24, coding: .kernel(limit: 65504 * 32) { $0.q5_1 })
  /// 8-bit quants: x = d q.
  public static let q8_0 = BlockFormat(
    id: 8, "Q8_0", elements: 32, bytes: 34, coding: .kernel(limit: 65504 * 128) { $0.q8_0 })
}
