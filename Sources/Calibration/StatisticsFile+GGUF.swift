import TinctureContainers
import TinctureCore

extension StatisticsFile {
  private static let sums = ".in_sum2"
  private static let counts = ".counts"

  private struct Pair {
    var sums: TensorInfo?
    var counts: TensorInfo?
  }

  static func readGGUF(_ file: InputFile) throws(TinctureError) -> StatisticsContent {
    let gguf = try GGUFFile(path: file.path, files: [file])
    var content = StatisticsContent()
    var order: [String] = []
    var pairs: [String: Pair] = [:]
    for tensor in gguf.tensors {
      let isSums = tensor.name.hasSuffix(sums)
      guard isSums || tensor.name.hasSuffix(counts) else {
        content.unused.append(tensor.name)
        continue
      }
      let name = String(tensor.name.dropLast(isSums ? sums.count : counts.count))
      if pairs[name] == nil { order.append(name) }
      if isSums { pairs[name, default: Pair()].sums = tensor }
      if !isSums { pairs[name, default: Pair()].counts = tensor }
    }
    guard !order.isEmpty else {
      throw TinctureError(
        .init("imatrix.empty", .invalidInput), "the file holds no importance",
        place: .init(file: file.path), expected: "tensors NAME\(sums) and NAME\(counts)",
        found: "\(gguf.tensors.count) other tensors",
        advice: "give a file that llama-imatrix has written")
    }
    content.chunkCount = try integer(gguf, "imatrix.chunk_count")
    content.chunkSize = try integer(gguf, "imatrix.chunk_size")
    content.datasets = try datasets(gguf)
    for name in order {
      content.entries.append(
        try located(file: file.path, tensor: name) { () throws(TinctureError) in
          guard let pair = pairs[name], let sums = pair.sums, let counts = pair.counts else {
            throw TinctureError(
              .init("imatrix.pair", .invalidInput), "sums without counts, or counts without sums",
              expected: "both \(name)\(sums) and \(name)\(counts)",
              advice: "the file is damaged; make or download it again")
          }
          return try entry(name, gguf, sums: sums, counts: counts)
        })
    }
    return content
  }

  private static func integer(_ gguf: GGUFFile, _ key: String) throws(TinctureError) -> Int {
    guard case .uint32(let value) = gguf.value(key) else {
      throw missing(gguf, key, "an uint32")
    }
    return Int(value)
  }

  private static func datasets(_ gguf: GGUFFile) throws(TinctureError) -> [String] {
    let key = "imatrix.datasets"
    guard case .array(.strings(let names)) = gguf.value(key) else {
      throw missing(gguf, key, "an array of strings")
    }
    return (0..<names.count).map { String(decoding: names[$0], as: UTF8.self) }
  }

  /// llama-quantize stops as well when one of the three is missing.
  private static func missing(_ gguf: GGUFFile, _ key: String, _ expected: String)
    -> TinctureError
  {
    TinctureError(
      .init("imatrix.metadata", .invalidInput), "the file does not say what it was measured on",
      place: .init(file: gguf.path, key: key), expected: expected,
      found: gguf.value(key)?.summary ?? "no such key",
      advice: "give a file that llama-imatrix has written")
  }

  private static func entry(
    _ name: String, _ gguf: GGUFFile, sums: TensorInfo, counts: TensorInfo
  ) throws(TinctureError) -> Entry {
    for tensor in [sums, counts] where tensor.type != .element(.f32) {
      throw TinctureError(
        .init("imatrix.type", .invalidInput), "sums and counts must be F32",
        place: .init(tensor: tensor.name), expected: "F32", found: "\(tensor.type)")
    }
    let countValues = try floats(gguf, counts)
    let sumValues = try floats(gguf, sums)
    let matrixCount = countValues.count
    guard sumValues.count % matrixCount == 0, sums.shape.rowCount == matrixCount else {
      throw TinctureError(
        .init("imatrix.counts", .invalidInput), "as many counts as matrices are needed",
        expected: "\(sums.shape.rowCount)", found: "\(matrixCount)",
        advice: "the file is damaged; make or download it again")
    }
    let columns = sumValues.count / matrixCount
    guard countValues.contains(where: { $0.rounded() > 0 }) else {
      throw noCalls(name, at: counts.byteOffset)
    }
    var values = sumValues
    for matrix in 0..<matrixCount {
      // An expert that no text has reached weighs all columns alike, as in llama-quantize.
      let count = Float(Int64(countValues[matrix].rounded()))
      for index in matrix * columns..<(matrix + 1) * columns {
        values[index] = count > 0 ? sumValues[index] / count : 1
      }
    }
    return Entry(name: name, values: values, matrixCount: matrixCount)
  }

  /// The values of an F32 tensor; finite, not negative and small enough to be counts or sums of squares.
  private static func floats(_ gguf: GGUFFile, _ tensor: TensorInfo) throws(TinctureError)
    -> [Float]
  {
    let file = gguf.files[tensor.fileIndex]
    let bytes = try file.bytes(at: tensor.byteOffset, count: Int(tensor.byteCount))
    let limit: Float = tensor.name.hasSuffix(counts) ? 0x1p53 : .greatestFiniteMagnitude
    return try values(
      bytes, count: tensor.shape.elementCount, limit: limit, at: tensor.byteOffset)
  }

  /// `count` little-endian floats of `bytes`, each checked to be from 0 to `limit`.
  static func values(_ bytes: [UInt8], count: Int, limit: Float, at offset: UInt64)
    throws(TinctureError) -> [Float]
  {
    var floats: [Float] = []
    floats.reserveCapacity(count)
    bytes.withUnsafeBytes { raw in
      for index in 0..<count {
        floats.append(
          Float(
            bitPattern: UInt32(
              littleEndian: raw.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))))
      }
    }
    // NaN fails this test too.
    if let index = floats.firstIndex(where: { !($0 >= 0 && $0 <= limit) }) {
      throw TinctureError(
        .init("imatrix.value", .invalidInput),
        "value \(index) is neither a mean of squares nor a count",
        place: .init(byteOffset: offset + 4 * UInt64(index)),
        expected: "a finite number that is not negative", found: "\(floats[index])",
        advice: "make the imatrix again; the model gave no finite values, or the file is damaged")
    }
    return floats
  }

  static func noCalls(_ name: String, at offset: UInt64) -> TinctureError {
    TinctureError(
      .init("imatrix.noCalls", .invalidInput), "the tensor was never called while measuring",
      place: .init(byteOffset: offset, tensor: name), expected: "a count of at least 1",
      found: "0", advice: "make the imatrix again with a text that uses the whole model")
  }
}
