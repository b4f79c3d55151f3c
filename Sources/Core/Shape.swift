/// A tensor's dimensions, outermost first (`[rows, columns]`), each at least zero.
///
/// ggml lists dimensions innermost first; ``ggmlOrder`` is the only place that turns them round.
public struct Shape: Hashable, Sendable, CustomStringConvertible {
  public let dimensions: [Int]
  /// Product of the dimensions (1 for a scalar).
  public let elementCount: Int

  /// Fails (nil) when a dimension is negative or the product overflows `Int`.
  public init?(checking dimensions: [Int]) {
    var count = 1
    var hasZero = false
    for dimension in dimensions {
      guard dimension >= 0 else { return nil }
      if dimension == 0 {
        hasZero = true
        continue
      }
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard !overflow else { return nil }
      count = product
    }
    self.dimensions = dimensions
    elementCount = hasZero ? 0 : count
  }

  /// For dimensions known to be sane; traps otherwise (our own mistake).
  public init(_ dimensions: Int...) {
    guard let shape = Shape(checking: dimensions) else {
      preconditionFailure("impossible shape \(dimensions)")
    }
    self = shape
  }

  public var rank: Int { dimensions.count }
  /// Length of a contiguous row: the innermost dimension (1 for a scalar).
  public var rowLength: Int { dimensions.last ?? 1 }
  /// Number of rows: product of all but the innermost dimension.
  public var rowCount: Int { rowLength == 0 ? 0 : elementCount / rowLength }
  /// Dimensions innermost first, as GGUF stores them.
  public var ggmlOrder: [Int] { dimensions.reversed() }

  public var description: String {
    "[" + dimensions.map(String.init).joined(separator: ", ") + "]"
  }
}
