import TinctureContainers
import TinctureCore

/// A pack opened for reading: description and prompts in memory, frames read as they are asked for.
///
/// - Complexity: opening costs the index and the prompts' tokens; a frame of logits half a megabyte or so.
package struct ParityPack: Sendable {
  package let file: PackFile
  package let index: PackIndex
  package let prompts: [PackPrompt]

  /// Opens the pack at `path`.
  ///
  /// - Throws: `pack.*`, `zstd.*`, `file.*`, each with the file and the place.
  package init(path: String) throws(TinctureError) {
    try self.init(try PackFile(path: path))
  }

  package init(_ file: PackFile) throws(TinctureError) {
    self.file = file
    index = try PackIndex(file.index, file: file.file.path)
    let bytes = try file.read(index.tokens, name: "tokens")
    let index = index
    prompts = try located(file: file.file.path) { () throws(TinctureError) in
      try TokenFrame.decode(bytes, index)
    }
  }

  package var description: PackDescription { index.description }

  /// The rows of a frame of logits.
  package func logits(_ entry: LogitFrameEntry) throws(TinctureError) -> LogitFrame {
    let name = "logits of prompt \(entry.prompt) from \(entry.first)"
    let bytes = try file.read(entry.frame, name: name)
    do throws(TinctureError) {
      return try LogitFrame(bytes, rows: entry.rowCount, description)
    } catch {
      throw error.at(file: file.file.path, byteOffset: entry.frame.byteOffset, key: name)
    }
  }

  /// The sketches of tails in a frame: ``TailSketch/numbers(_:)`` a row.
  ///
  /// - Throws: `pack.tails` for numbers that are not finite.
  package func tails(_ entry: TailFrameEntry) throws(TinctureError) -> [Float] {
    let name = "tails of prompt \(entry.prompt) from \(entry.first)"
    let bytes = try file.read(entry.frame, name: name)
    let numbers = BytePlanes.read(bytes, at: 0, count: bytes.count / 4)
      .map { Float(bitPattern: $0) }
    guard numbers.allSatisfy(\.isFinite) else {
      throw TinctureError(
        .init("pack.tails", .invalidInput), "a sketch holds a number that is not finite",
        place: .init(file: file.file.path, byteOffset: entry.frame.byteOffset, key: name))
    }
    return numbers
  }

  /// An encoder's rows.
  package func vectors(_ entry: VectorFrameEntry) throws(TinctureError) -> [Float] {
    let name = "\(entry.kind.rawValue) of prompt \(entry.prompt)"
    let bytes = try file.read(entry.frame, name: name)
    return BytePlanes.read(bytes, at: 0, count: entry.rowCount * entry.columnCount)
      .map { Float(bitPattern: $0) }
  }

  /// All weights of a tensor that is kept whole.
  package func wholeWeights(_ entry: WeightFrameEntry) throws(TinctureError) -> [Float] {
    precondition(entry.isWhole, "\(entry.tensor) is sketched")
    let bytes = try file.read(entry.frame, name: "weights of \(entry.tensor)")
    return BytePlanes.read(bytes, at: 0, count: entry.columnCount).map { Float(bitPattern: $0) }
  }

  /// What is kept of a tensor's rows.
  ///
  /// - Throws: `pack.weights` for lengths that are no lengths.
  package func weights(_ entry: WeightFrameEntry) throws(TinctureError) -> WeightRows {
    guard let about = description.weights, !entry.isWhole else { return WeightRows(sketches: []) }
    let name = "weights of \(entry.tensor)"
    let bytes = try file.read(entry.frame, name: name)
    let numbers = WeightFrame.decoded(
      bytes, rows: entry.rowCount, about, try LogitKernels())
    let stride = about.projectionCount + 1
    for (index, number) in numbers.enumerated() {
      guard number.isFinite, index % stride != 0 || number >= 0 else {
        throw TinctureError(
          .init("pack.weights", .invalidInput), "a sketch holds an impossible number",
          place: .init(file: file.file.path, byteOffset: entry.frame.byteOffset, key: name),
          found: "\(number)")
      }
    }
    return WeightRows(
      sketches: numbers, parts: bytes[(entry.rowCount * (4 + 2 * about.projectionCount))...])
  }

  /// The sketches of a stage, all prompts in order.
  package func stage(_ entry: StageFrameEntry) throws(TinctureError) -> [Float] {
    let bytes = try file.read(entry.frame, name: "stage \(entry.stage)")
    return BytePlanes.read(bytes, at: 0, count: bytes.count / 4).map { Float(bitPattern: $0) }
  }
}
