import TinctureContainers
import TinctureCore

/// What is kept of one row of logits beside the entries themselves.
package struct LogitSummary: Sendable, Equatable {
  /// ln of the sum of exp over the whole row: the exact normalizer.
  package var normalizer: Double
  /// The probability of all entries that are not kept together.
  package var restMass: Double
  /// The mean logit of the entries that are not kept, weighted with their probabilities; 0 when all are kept.
  package var restMean: Double
  /// Mean and variance of all entries of the row.
  package var mean: Double
  package var variance: Double
  /// The logit of the token that follows in the prompt; 0 at the last position.
  package var next: Float

  package init(
    normalizer: Double, restMass: Double, restMean: Double, mean: Double, variance: Double,
    next: Float
  ) {
    self.normalizer = normalizer
    self.restMass = restMass
    self.restMean = restMean
    self.mean = mean
    self.variance = variance
    self.next = next
  }
}

/// Rows of logits as a frame holds them; formats/spec/parity-pack.md.
package struct LogitFrame: Sendable {
  static let summaryByteCount = 44
  /// Rows of one frame when only some entries are kept.
  static let rowsPerFrame = 32

  package var summaries: [LogitSummary] = []
  /// Kept entries' ids, ascending in each row; empty when all entries are kept.
  package var ids: [UInt32] = []
  /// Kept entries, `keptCount` a row.
  package var values: [Float] = []

  /// Bytes of a frame of `rows` rows, nil when it would be larger than a frame may be.
  static func byteCount(rows: Int, _ about: PackDescription) -> Int? {
    let perRow = summaryByteCount + about.keptCount * (about.isFull ? 4 : 8)
    let (bytes, overflow) = rows.multipliedReportingOverflow(by: perRow)
    return overflow || bytes > PackLayout.largestContent ? nil : bytes
  }

  /// Rows a frame should hold: fewer when rows are kept whole.
  static func rowLimit(_ about: PackDescription) -> Int {
    let perRow = summaryByteCount + about.keptCount * (about.isFull ? 4 : 8)
    return max(1, min(rowsPerFrame, (PackLayout.largestContent / 4) / perRow))
  }

  /// Summaries, then ids as gaps, then values; 32-bit numbers as four planes of bytes, the lowest first.
  package func encoded(keptCount: Int) -> [UInt8] {
    let rows = summaries.count
    var bytes: [UInt8] = []
    bytes.reserveCapacity(rows * (LogitFrame.summaryByteCount + keptCount * 8))
    for path in [
      \LogitSummary.normalizer, \.restMass, \.restMean, \.mean, \.variance,
    ] {
      for summary in summaries { append(summary[keyPath: path].bitPattern, to: &bytes) }
    }
    for summary in summaries {
      let bits = summary.next.bitPattern
      for shift in stride(from: UInt32(0), to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
      }
    }
    if !ids.isEmpty {
      var gaps = ids
      for row in 0..<rows {
        var last: UInt32 = 0
        for index in row * keptCount..<(row + 1) * keptCount {
          gaps[index] = ids[index] - last
          last = ids[index]
        }
      }
      BytePlanes.append(gaps, to: &bytes)
    }
    BytePlanes.append(values.map(\.bitPattern), to: &bytes)
    return bytes
  }

  private func append(_ value: UInt64, to bytes: inout [UInt8]) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }

  /// Reads a frame; its length has been checked against ``byteCount(rows:_:)``.
  ///
  /// - Throws: `pack.logits` for ids that do not ascend or pass the vocabulary, values that are not finite, masses
  ///   outside 0 to 1.
  package init(_ bytes: [UInt8], rows: Int, _ about: PackDescription) throws(TinctureError) {
    precondition(bytes.count == LogitFrame.byteCount(rows: rows, about), "\(bytes.count) bytes")
    let count = about.keptCount
    func double(_ plane: Int, _ row: Int) -> Double {
      let at = (plane * rows + row) * 8
      return Double(bitPattern: (0..<8).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) })
    }
    for row in 0..<rows {
      let at = 40 * rows + 4 * row
      let next = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << UInt32(8 * $1) }
      let summary = LogitSummary(
        normalizer: double(0, row), restMass: double(1, row), restMean: double(2, row),
        mean: double(3, row), variance: double(4, row), next: Float(bitPattern: next))
      guard summary.normalizer.isFinite, summary.restMass >= 0, summary.restMass <= 1,
        summary.restMean.isFinite, summary.mean.isFinite, summary.variance >= 0,
        summary.variance.isFinite, summary.next.isFinite
      else { throw LogitFrame.failure(row, "a number of the row is impossible", "\(summary)") }
      summaries.append(summary)
    }
    var offset = LogitFrame.summaryByteCount * rows
    if !about.isFull {
      ids = BytePlanes.read(bytes, at: offset, count: rows * count)
      offset += 4 * rows * count
      let limit = UInt32(about.vocabularySize ?? 0)
      for row in 0..<rows {
        var last: UInt32 = 0
        for index in row * count..<(row + 1) * count {
          let (id, overflow) = last.addingReportingOverflow(ids[index])
          guard !overflow, id < limit, index == row * count || id > last else {
            throw LogitFrame.failure(
              row, "the ids do not ascend within the vocabulary", "\(ids[index]) after \(last)")
          }
          ids[index] = id
          last = id
        }
      }
    }
    values = BytePlanes.read(bytes, at: offset, count: rows * count).map { Float(bitPattern: $0) }
    for (index, value) in values.enumerated() where !value.isFinite {
      throw LogitFrame.failure(index / count, "a logit is not finite", "\(value)")
    }
  }

  package init() {}

  private static func failure(_ row: Int, _ message: String, _ found: String) -> TinctureError {
    TinctureError(
      .init("pack.logits", .invalidInput), message, found: "row \(row) of the frame: \(found)")
  }
}

/// 32-bit numbers as four planes: all lowest bytes, then the next ones; numbers of one kind compress well so.
enum BytePlanes {
  static func append(_ words: [UInt32], to bytes: inout [UInt8]) {
    let start = bytes.count
    let count = words.count
    bytes += [UInt8](repeating: 0, count: 4 * count)
    bytes.withUnsafeMutableBufferPointer { out in
      words.withUnsafeBufferPointer { words in
        for plane in 0..<4 {
          let shift = UInt32(8 * plane)
          let base = start + plane * count
          for index in 0..<count {
            out[base + index] = UInt8(truncatingIfNeeded: words[index] >> shift)
          }
        }
      }
    }
  }

  static func read(_ bytes: [UInt8], at offset: Int, count: Int) -> [UInt32] {
    precondition(bytes.count - offset >= 4 * count, "\(count) numbers at byte \(offset)")
    return bytes.withUnsafeBufferPointer { bytes in
      [UInt32](unsafeUninitializedCapacity: count) { out, initialized in
        for index in 0..<count {
          out[index] =
            UInt32(bytes[offset + index]) | UInt32(bytes[offset + count + index]) << 8
            | UInt32(bytes[offset + 2 * count + index]) << 16
            | UInt32(bytes[offset + 3 * count + index]) << 24
        }
        initialized = count
      }
    }
  }
}
