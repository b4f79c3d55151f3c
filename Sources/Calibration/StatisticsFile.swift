import TinctureContainers
import TinctureCore

/// Importance of a model's input columns, as llama-imatrix has written it: per tensor the mean of x² of each
/// column of its input.
///
/// Reads its GGUF files (`NAME.in_sum2`, `NAME.counts`) and the older `.dat` files, and gives the numbers
/// that llama-quantize gives to its encoders. Source: llama.cpp `common/imatrix-loader.cpp`,
/// `tools/quantize/quantize.cpp` (`load_imatrix`).
public struct StatisticsFile: Sendable {
  /// The forms such a file comes in.
  public enum Form: String, Sendable { case gguf, legacy }

  /// The statistics of one weight tensor.
  struct Entry {
    let name: String
    /// Mean of x², `matrixCount` times the columns.
    let values: [Float]
    /// Matrices stacked in the tensor: 1, or the number of experts.
    let matrixCount: Int
  }

  public let path: String
  public let form: Form
  /// Chunks of text it was measured on; nil when the file does not say.
  public let chunkCount: Int?
  /// Tokens in a chunk; nil when the file does not say.
  public let chunkSize: Int?
  /// Names of the texts it was measured on.
  public let datasets: [String]
  /// Tensors of the file that are neither sums nor counts and were not used.
  public let unusedTensors: [String]
  private let entries: [String: Entry]

  /// - Throws: `imatrix.*`, `gguf.*`, `file.*`.
  /// - Complexity: linear in the file's size, in time and memory.
  public static func open(_ path: String) throws(TinctureError) -> StatisticsFile {
    try StatisticsFile(try InputFile(path: path))
  }

  package init(_ file: InputFile) throws(TinctureError) {
    let magic = try file.bytes(at: 0, count: Int(min(4, file.byteCount)))
    let isGGUF = magic == Array("GGUF".utf8)
    let content =
      isGGUF ? try StatisticsFile.readGGUF(file) : try StatisticsFile.readLegacy(file)
    try file.checkUnchanged()
    path = file.path
    form = isGGUF ? .gguf : .legacy
    chunkCount = content.chunkCount
    chunkSize = content.chunkSize
    datasets = content.datasets
    unusedTensors = content.unused
    var entries: [String: Entry] = [:]
    entries.reserveCapacity(content.entries.count)
    for entry in content.entries { entries[entry.name] = entry }
    self.entries = entries
  }

  /// Names of the tensors it has statistics for, sorted by bytes.
  public var names: [String] {
    entries.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Mean of x² for each input column of the tensor `name` (a GGUF name, `blk.0.attn_q.weight`).
  ///
  /// - Parameters:
  ///   - rowLength: columns of the tensor.
  ///   - matrixCount: matrices stacked in it, 1 unless it holds experts; the result then has a row for each.
  /// - Returns: `rowLength * matrixCount` values, finite and not negative; nil when the file has none.
  /// - Throws: `imatrix.rowLength` when the file has them for another row length: it was made of another
  /// model.
  public func importance(for name: String, rowLength: Int, matrixCount: Int = 1)
    throws(TinctureError) -> [Float]?
  {
    guard let entry = entries[name] else { return nil }
    guard entry.matrixCount == matrixCount || entry.matrixCount == 1,
      entry.values.count == rowLength * matrixCount
    else {
      throw TinctureError(
        .init("imatrix.rowLength", .invalidInput),
        "the importance of this tensor is of another model",
        place: .init(file: path, tensor: name),
        expected: "\(rowLength * matrixCount) columns", found: "\(entry.values.count)",
        advice: "give the imatrix that was made of this model")
    }
    return entry.values
  }
}

/// What either reader finds.
struct StatisticsContent {
  var entries: [StatisticsFile.Entry] = []
  var chunkCount: Int?
  var chunkSize: Int?
  var datasets: [String] = []
  var unused: [String] = []
}
