import TinctureCore

extension SafetensorsHeader {
  /// A tensor's entry; its own numbers are checked, its place among the others is not yet.
  struct Entry {
    let name: String
    let type: ElementType
    let shape: Shape
    /// Relative to the start of the tensor data.
    let begin: UInt64
    let end: UInt64
    /// Where the entry's name stands in the header.
    let place: UInt64
  }

  private static let types: [(name: String, type: ElementType)] = [
    ("BOOL", .bool), ("U8", .u8), ("I8", .i8), ("U16", .u16), ("I16", .i16), ("U32", .u32),
    ("I32", .i32), ("U64", .u64), ("I64", .i64), ("F8_E4M3", .f8e4m3), ("F8_E5M2", .f8e5m2),
    ("F16", .f16), ("BF16", .bf16), ("F32", .f32), ("F64", .f64),
  ]

  /// Types the format has and no model of ours uses.
  private static let unsupported: Set<String> = [
    "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64",
  ]

  static func entries(_ root: JSON, dataCount: UInt64) throws(TinctureError) -> (
    metadata: [(key: String, value: String)], entries: [Entry]
  ) {
    var metadata: [(key: String, value: String)] = []
    var entries: [Entry] = []
    entries.reserveCapacity(root.count)
    var seen: Set<String> = []
    for (key, value) in try root.object() {
      if key.equals("__metadata__") {
        metadata = try readMetadata(value)
        continue
      }
      let name = try key.string()
      // The scanner has refused equal keys; this one also refuses those that only look equal.
      guard seen.insert(name).inserted else {
        throw key.error("duplicateKey", "two tensors have names that Unicode holds for equal")
          .at(tensor: name)
      }
      entries.append(
        try located(tensor: name) { () throws(TinctureError) in
          try readEntry(name, key: key, value, dataCount: dataCount)
        })
    }
    return (metadata, entries)
  }

  private static func readMetadata(_ node: JSON) throws(TinctureError) -> [(
    key: String, value: String
  )] {
    guard node.kind == .object else {
      throw node.error(
        "metadata", "__metadata__ is not an object", expected: "an object of strings",
        found: node.shortText)
    }
    var metadata: [(key: String, value: String)] = []
    for (key, value) in node.members {
      guard value.kind == .string else {
        throw value.error(
          "metadata", "a value of __metadata__ is not a string", expected: "string",
          found: value.shortText)
      }
      metadata.append((try key.string(), try value.string()))
    }
    return metadata
  }

  private static func readEntry(_ name: String, key: JSON, _ node: JSON, dataCount: UInt64)
    throws(TinctureError) -> Entry
  {
    for (member, _) in try node.object() {
      guard member.equals("dtype") || member.equals("shape") || member.equals("data_offsets")
      else {
        throw member.error(
          "member", "unknown member of a tensor's entry",
          expected: "dtype, shape and data_offsets", found: try member.string())
      }
    }
    let type = try elementType(try node.member("dtype"))
    let shape = try readShape(try node.member("shape"))
    let offsets = try node.member("data_offsets")
    let (begin, end) = try readOffsets(offsets, dataCount: dataCount)
    let (byteCount, overflow) = UInt64(shape.elementCount).multipliedReportingOverflow(
      by: UInt64(type.byteCount))
    guard !overflow else {
      throw offsets.error(
        "size", "the tensor's size overflows", found: "shape \(shape) of \(type.rawValue)")
    }
    guard byteCount == end - begin else {
      throw offsets.error(
        "size", "the tensor's bytes do not fit its shape and type",
        expected: "\(byteCount) bytes for shape \(shape) of \(type.rawValue)",
        found: "\(end - begin)")
    }
    return Entry(
      name: name, type: type, shape: shape, begin: begin, end: end, place: key.byteOffset)
  }

  private static func elementType(_ node: JSON) throws(TinctureError) -> ElementType {
    let name = try node.string()
    if let known = types.first(where: { $0.name == name }) { return known.type }
    let error = node.error(
      "dtype",
      unsupported.contains(name) ? "this element type is not read" : "unknown element type",
      expected: types.map(\.name).joined(separator: ", "), found: String(name.prefix(40)),
      advice: "save the checkpoint in bfloat16 or float16")
    guard unsupported.contains(name) else { throw error }
    throw TinctureError(
      .init(error.code.name, .unsupported), error.message, place: error.place,
      expected: error.expected, found: error.found, advice: error.advice)
  }

  private static func readShape(_ node: JSON) throws(TinctureError) -> Shape {
    var dimensions: [Int] = []
    for element in try node.array() {
      let dimension = try element.int()
      guard dimension >= 0 else {
        throw element.error(
          "shape", "a dimension is negative", expected: "at least 0", found: "\(dimension)")
      }
      dimensions.append(dimension)
    }
    guard let shape = Shape(checking: dimensions) else {
      throw node.error(
        "shape", "the number of elements overflows", found: dimensionText(dimensions))
    }
    return shape
  }

  private static func dimensionText(_ dimensions: [Int]) -> String {
    let text = dimensions.prefix(8).map(String.init).joined(separator: ", ")
    return dimensions.count > 8 ? "[\(text), …]" : "[\(text)]"
  }

  private static func readOffsets(_ node: JSON, dataCount: UInt64) throws(TinctureError) -> (
    UInt64, UInt64
  ) {
    var numbers: [UInt64] = []
    guard try node.array().count == 2 else {
      throw node.error(
        "offsets", "data_offsets are not a pair", expected: "[begin, end]",
        found: "\(node.count) numbers")
    }
    for element in node.elements { numbers.append(try element.uint64()) }
    guard numbers[0] <= numbers[1] else {
      throw node.error(
        "offsets", "data_offsets end before they begin", expected: "begin at most end",
        found: "[\(numbers[0]), \(numbers[1])]")
    }
    guard numbers[1] <= dataCount else {
      throw node.error(
        "overrun", "the tensor goes beyond the end of the file",
        expected: "at most \(dataCount)", found: "\(numbers[1])",
        advice: "the file is cut short: download or copy it again")
    }
    return (numbers[0], numbers[1])
  }

  /// Checks that the tensors fill the data without overlap or hole, and orders them by offset.
  static func place(_ entries: [Entry], dataOffset: UInt64, file: InputFile)
    throws(TinctureError) -> [TensorInfo]
  {
    let sorted = entries.sorted { ($0.begin, $0.end, $0.place) < ($1.begin, $1.end, $1.place) }
    var tensors: [TensorInfo] = []
    tensors.reserveCapacity(sorted.count)
    var next: UInt64 = 0
    for entry in sorted {
      guard entry.begin == next else {
        let overlap = entry.begin < next
        throw failure(
          file, overlap ? "overlap" : "hole",
          overlap
            ? "the tensor overlaps the one before it" : "bytes before the tensor belong to none",
          at: entry.place, expected: "data_offsets from \(next)", found: "\(entry.begin)",
          advice: "the file is damaged or made to deceive; download it again"
        ).at(tensor: entry.name)
      }
      next = entry.end
      tensors.append(
        TensorInfo(
          name: entry.name, type: .element(entry.type), shape: entry.shape, fileIndex: 0,
          byteOffset: dataOffset + entry.begin, byteCount: entry.end - entry.begin))
    }
    guard dataOffset + next == file.byteCount else {
      throw failure(
        file, "trailing", "bytes after the last tensor belong to none", at: dataOffset + next - 8,
        expected: "a file of \(dataOffset + next) bytes", found: "\(file.byteCount)",
        advice: "the file is damaged or made to deceive; download it again")
    }
    return tensors
  }
}
