import TinctureBlocks
import TinctureCore

/// Where every byte of a GGUF file will stand, known before a weight is read. Pure data.
///
/// Tensors follow one another in the order given, each padded to the alignment, the last one too, as
/// llama.cpp's own writers do.
public struct GGUFLayout: Sendable {
  /// A tensor to be laid out.
  public struct Request: Sendable, Hashable {
    public let name: String
    public let type: StoredType
    /// Outermost dimension first.
    public let shape: Shape

    public init(name: String, type: StoredType, shape: Shape) {
      self.name = name
      self.type = type
      self.shape = shape
    }

    /// A scalar is a row of one element: ggml has no tensor without dimensions.
    var shapeAsWritten: Shape { shape.rank == 0 ? Shape(1) : shape }
  }

  /// Metadata as written, in order.
  public let metadata: [(key: String, value: GGUFValue)]
  /// Alignment of the tensor data in bytes, a power of two.
  public let alignment: Int
  /// The file's first bytes: magic, metadata, tensor list, padding. Tensor data starts after them.
  public let header: [UInt8]
  /// Tensors with their absolute offsets; file index 0.
  public let tensors: [TensorInfo]
  /// Size of the whole file in bytes, final padding included.
  public let byteCount: UInt64

  /// Lays out a file.
  ///
  /// - Parameters:
  ///   - metadata: written as given. `general.alignment` (an uint32), where present, decides the alignment.
  ///   - alignment: when not nil, the alignment, appended to the metadata as `general.alignment` unless it is
  /// 32
  ///     or there already.
  /// - Throws: `gguf.write.*` for what llama.cpp would refuse: empty, long or double keys and names, nested
  ///   arrays, keys of a split set, types without a GGUF number, more than 4 dimensions, empty tensors.
  /// - Complexity: linear in the header's size, in time and memory.
  public init(
    metadata: [(key: String, value: GGUFValue)], tensors: [Request], alignment: UInt32? = nil
  ) throws(TinctureError) {
    for (key, _) in metadata where GGUFSplit.keys.contains(key) {
      throw TinctureError(
        .init("gguf.write.splitKey", .usage), "this key is written for split output only",
        place: .init(key: key), advice: "leave it out; give --split-size to split")
    }
    try self.init(checked: metadata, tensors: tensors, alignment: alignment)
  }

  init(checked pairs: [(key: String, value: GGUFValue)], tensors: [Request], alignment: UInt32?)
    throws(TinctureError)
  {
    let (metadata, alignment) = try GGUFLayout.aligned(pairs, alignment)
    try GGUFLayout.check(metadata)
    var offset: UInt64 = 0
    var list: [(tensor: Request, id: UInt32, offset: UInt64)] = []
    var sizes: [UInt64] = []
    var seen: Set<String> = []
    for tensor in tensors {
      let (id, size) = try located(tensor: tensor.name) { () throws(TinctureError) in
        try GGUFLayout.check(tensor)
      }
      guard seen.insert(tensor.name).inserted else {
        throw GGUFLayout.failure("duplicateTensor", "a tensor occurs twice").at(tensor: tensor.name)
      }
      list.append((tensor, id, offset))
      sizes.append(size)
      let (end, overflow) = offset.addingReportingOverflow(
        (size + UInt64(alignment) - 1) / UInt64(alignment) * UInt64(alignment))
      guard !overflow, end <= UInt64(Int64.max) / 2 else {
        throw GGUFLayout.failure("size", "the file would be larger than any file can be")
          .at(tensor: tensor.name)
      }
      offset = end
    }
    let header = try GGUFWriter.header(metadata: metadata, alignment: alignment, tensors: list)
    self.tensors = zip(list, sizes).map { entry, size in
      TensorInfo(
        name: entry.tensor.name, type: entry.tensor.type, shape: entry.tensor.shapeAsWritten,
        fileIndex: 0,
        byteOffset: UInt64(header.count) + entry.offset, byteCount: size)
    }
    self.metadata = metadata
    self.alignment = alignment
    self.header = header
    byteCount = UInt64(header.count) + offset
  }

  private static func failure(_ name: String, _ message: String) -> TinctureError {
    TinctureError(.init("gguf.write." + name, .unsupported), message)
  }

  private static func aligned(
    _ metadata: [(key: String, value: GGUFValue)], _ wanted: UInt32?
  ) throws(TinctureError) -> (metadata: [(key: String, value: GGUFValue)], alignment: Int) {
    let key = "general.alignment"
    let present = metadata.first { $0.key == key }?.value
    let alignment: UInt32
    switch present {
    case nil: alignment = wanted ?? GGUFLimit.defaultAlignment
    case .uint32(let value): alignment = value
    default: alignment = 0
    }
    guard alignment > 0, alignment & (alignment - 1) == 0, alignment <= GGUFLimit.alignment,
      wanted == nil || wanted == alignment
    else {
      throw TinctureError(
        .init("gguf.write.alignment", .usage), "impossible alignment", place: .init(key: key),
        expected: wanted.map { "uint32 \($0)" }
          ?? "an uint32 power of two up to \(GGUFLimit.alignment)",
        found: present?.summary ?? "\(alignment)")
    }
    if present == nil, alignment != GGUFLimit.defaultAlignment {
      return (metadata + [(key, .uint32(alignment))], Int(alignment))
    }
    return (metadata, Int(alignment))
  }

  private static func check(_ metadata: [(key: String, value: GGUFValue)]) throws(TinctureError) {
    var seen: Set<String> = []
    for (key, value) in metadata {
      guard !key.isEmpty, key.utf8.count <= GGUFLimit.keyByteCount, !key.utf8.contains(0) else {
        throw failure("key", "a key is empty, too long or holds a zero byte").at(key: key)
      }
      guard seen.insert(key).inserted else {
        throw failure("duplicateKey", "a key occurs twice").at(key: key)
      }
      if case .array(.arrays) = value {
        throw failure("nestedArray", "llama.cpp reads no arrays of arrays").at(key: key)
      }
    }
  }

  private static func check(_ tensor: Request) throws(TinctureError) -> (
    id: UInt32, size: UInt64
  ) {
    let name = tensor.name.utf8
    guard !name.isEmpty, name.count <= GGUFLimit.nameByteCount, !name.contains(0) else {
      throw TinctureError(
        .init("gguf.write.name", .unsupported), "llama.cpp does not take this tensor name",
        expected: "1 to \(GGUFLimit.nameByteCount) bytes", found: "\(name.count)")
    }
    guard tensor.shape.rank <= GGUFLimit.rank, tensor.shape.elementCount > 0 else {
      throw TinctureError(
        .init("gguf.write.shape", .unsupported), "llama.cpp does not take this shape",
        expected: "1 to \(GGUFLimit.rank) dimensions, none of them 0", found: "\(tensor.shape)")
    }
    guard let id = tensor.type.ggmlID else {
      throw TinctureError(
        .init("gguf.write.type", .unsupported), "GGUF has no such type",
        found: "\(tensor.type)")
    }
    guard let row = tensor.type.rowByteCount(tensor.shape.rowLength) else {
      throw TinctureError(
        .init("gguf.write.row", .unsupported), "the rows do not divide into blocks",
        expected: tensor.type.rowRule, found: "\(tensor.shape.rowLength)")
    }
    let (size, overflow) = UInt64(row).multipliedReportingOverflow(
      by: UInt64(tensor.shape.rowCount))
    guard !overflow, size <= UInt64(Int64.max) / 2 else {
      throw failure("size", "the tensor would be larger than any file can be")
    }
    return (id, size)
  }
}
