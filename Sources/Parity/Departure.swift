import TinctureCore

/// Where a candidate parts from the reference.
public struct Departure: Sendable, Equatable {
  /// 0 for the input embeddings, i + 1 for layer i, one more for what follows the last layer.
  public let stage: Int
  /// `input embeddings`, `layer 3`, `final norm`.
  public let name: String
  /// How that is known.
  public let reason: String

  package init(stage: Int, name: String, reason: String) {
    self.stage = stage
    self.name = name
    self.reason = reason
  }
}

/// Finds the stage at which hidden states depart, by how the error grows from stage to stage.
///
/// Rounding of weights adds a little in every layer, and what it adds differs from model to model, so a fixed limit is
/// passed late or never. A layer that computes something else makes the error jump. The growth of a stage is its error
/// over the largest before it, or over a tenth of the limit where that is more: the first layers of a quantized model come
/// from next to nothing and would always jump. A stage departs when its growth is at least `leastJump` and stands out from
/// the growths of the stages above that tenth: above their median by `deviations` times 1.4826 median absolute deviations, of logarithms (which for
/// normally distributed values is that many standard deviations; Hampel, "The influence curve and its role in robust
/// estimation", 1974).
package enum DepartureFinder {
  static let leastJump = 4.0
  static let deviations = 4.0

  /// The first stage that departs; else the first whose error passes the limit; nil when neither is found.
  package static func find(_ stages: [StageMeasure], limit: Double) -> Departure? {
    guard let first = stages.first else { return nil }
    func departure(_ stage: StageMeasure, _ reason: String) -> Departure {
      Departure(stage: stage.stage, name: stage.name, reason: reason)
    }
    // Nothing comes before the embeddings: the limit judges them.
    if !(first.normalizedError <= limit) {
      return departure(first, "NMSE \(Figure.text(first.normalizedError)), before any layer")
    }
    let growths = growths(stages, floor: limit / 10)
    let bound = threshold(growths)
    for (stage, growth) in zip(stages.dropFirst(), growths) {
      let error = stage.normalizedError
      guard error.isFinite else { return departure(stage, "its output is no number") }
      if growth >= bound {
        return departure(
          stage,
          growth == .infinity
            ? "the error begins there"
            : "the error of the hidden states grows \(Figure.text(growth)) times there")
      }
    }
    guard let above = stages.first(where: { !($0.normalizedError <= limit) }) else { return nil }
    return departure(above, "the first above the limit; no single layer stands out")
  }

  /// Each stage's error over the largest before it or `floor`, from the second stage on; 0 for errors that do not pass
  /// `floor`, which tell nothing.
  static func growths(_ stages: [StageMeasure], floor: Double) -> [Double] {
    var largest = max(floor, stages.first?.normalizedError ?? 0)
    return stages.dropFirst().map { stage in
      let error = stage.normalizedError
      defer { largest = max(largest, error) }
      return error <= floor ? 0 : error / largest
    }
  }

  private static func threshold(_ growths: [Double]) -> Double {
    let logarithms = growths.filter { $0 > 0 && $0.isFinite }.map { Elementary.logarithm($0) }
    guard logarithms.count > 3 else { return leastJump }
    let center = median(logarithms)
    let spread = median(logarithms.map { abs($0 - center) })
    return max(leastJump, Elementary.exponential(center + deviations * 1.4826 * spread))
  }

  private static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
}
