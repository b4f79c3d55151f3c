import TinctureBlocks
import TinctureCore

/// A GGUF model, version 2 or 3: one file, or a set of parts `NAME-00001-of-0000N.gguf`.
///
/// Opening reads and checks the headers of all parts; tensor data is read by rows on demand
/// (``TensorSource``).
public struct GGUFFile: TensorSource {
  /// The path it was opened by.
  public let path: String
  /// Version of the format, 2 or 3.
  public let version: UInt32
  /// Metadata in file order, without the `split.*` keys, which describe the set of parts and not the model.
  public let metadata: [(key: String, value: GGUFValue)]
  /// Alignment of the tensor data in the first part, in bytes.
  public let alignment: UInt32
  /// Tensors in the order of the parts.
  public let tensors: [TensorInfo]
  /// The parts, one as a rule.
  public let files: [InputFile]
  /// Bytes behind the last tensor of each part, taken together, that belong to nothing; llama.cpp ignores
  /// them too.
  public let unclaimedByteCount: UInt64
  private let indices: [String: Int]

  /// Opens `path`; of a split set any part may be named.
  ///
  /// - Throws: `gguf.*`, `file.read`, `file.notRegular`, `file.truncated`.
  /// - Complexity: linear in the headers' size, in time and memory.
  public static func open(_ path: String) throws(TinctureError) -> GGUFFile {
    let first = try InputFile(path: path)
    let header = try GGUFHeader(first)
    let split = try GGUFSplit(header, path: path)
    guard let split, split.count > 1 else {
      return try GGUFFile(path: path, files: [first], headers: [header])
    }
    let prefix = try split.prefix(of: path)
    var files: [InputFile] = []
    var headers: [GGUFHeader] = []
    for index in 0..<split.count {
      if index == split.number {
        files.append(first)
        headers.append(header)
        continue
      }
      let partPath = GGUFSplit.path(prefix: prefix, index: index, count: split.count)
      guard Folder.kind(partPath) != .missing else {
        throw TinctureError(
          .init("gguf.split.missing", .invalidInput),
          "part \(index + 1) of \(split.count) is missing", place: .init(file: partPath),
          advice: "put all parts into one folder")
      }
      let file = try InputFile(path: partPath)
      files.append(file)
      headers.append(try GGUFHeader(file))
    }
    return try GGUFFile(path: path, files: files, headers: headers)
  }

  /// One model of parts that are open already, in their order.
  package init(path: String, files: [InputFile]) throws(TinctureError) {
    var headers: [GGUFHeader] = []
    for file in files { headers.append(try GGUFHeader(file)) }
    try self.init(path: path, files: files, headers: headers)
  }

  private init(path: String, files: [InputFile], headers: [GGUFHeader]) throws(TinctureError) {
    precondition(!files.isEmpty && files.count == headers.count, "one header a file")
    var tensors: [TensorInfo] = []
    for (index, header) in headers.enumerated() {
      tensors += header.tensors.map { $0.inFile(index) }
    }
    try GGUFSplit.check(headers, files: files, tensorCount: tensors.count)
    if files.count > 1 {
      var seen: Set<String> = []
      for tensor in tensors where !seen.insert(tensor.name).inserted {
        throw TinctureError(
          .init("gguf.tensor.duplicate", .invalidInput), "two parts hold the same tensor",
          place: .init(file: files[tensor.fileIndex].path, tensor: tensor.name),
          advice: "the parts belong to different models; download the set again")
      }
    }
    self.path = path
    self.files = files
    self.tensors = tensors
    unclaimedByteCount = headers.reduce(0) { $0 + $1.unclaimedByteCount }
    version = headers[0].version
    alignment = headers[0].alignment
    let metadata = headers[0].metadata.filter { !GGUFSplit.keys.contains($0.key) }
    self.metadata = metadata
    var indices: [String: Int] = [:]
    indices.reserveCapacity(metadata.count)
    for (index, pair) in metadata.enumerated() { indices[pair.key] = index }
    self.indices = indices
  }

  /// The value of `key`, nil when the file has none.
  public func value(_ key: String) -> GGUFValue? {
    guard let index = indices[key] else { return nil }
    return metadata[index].value
  }
}
