import CKernels
import TinctureCore

/// The sums of one row, made in the same way for a reference and for a candidate: equal rows give equal numbers.
struct RowSummary {
  var summary: LogitSummary
  /// Index and value of the greatest entry.
  var topIndex: Int
  var top: Float
  /// The least entry.
  var least: Float

  /// - Parameter kept: ids of the kept entries; empty when all are kept.
  static func make(
    _ row: UnsafeBufferPointer<Float>, _ kept: UnsafeBufferPointer<UInt32>,
    _ kernels: LogitKernels, _ scratch: LogitKernels.Scratch
  ) -> RowSummary {
    let topIndex = kernels.maximumIndex(row)
    let top = row[topIndex]
    var sums: tk_logit_sums
    if kept.isEmpty {
      sums = kernels.sums(row, kept: nil, top: top)
    } else {
      scratch.mark(kept, true)
      sums = kernels.sums(row, kept: scratch.kept, top: top)
      scratch.mark(kept, false)
    }
    let count = Double(row.count)
    let whole = sums.kept + sums.rest
    let mean = sums.first / count
    let summary = LogitSummary(
      normalizer: Double(top) + Elementary.logarithm(whole), restMass: sums.rest / whole,
      restMean: sums.rest > 0 ? Double(top) + sums.rest_moment / sums.rest : 0, mean: mean,
      variance: max(0, sums.second / count - mean * mean), next: 0)
    return RowSummary(summary: summary, topIndex: topIndex, top: top, least: sums.least)
  }
}
