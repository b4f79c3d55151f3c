import TinctureBlocks
import TinctureCore

extension GGUFHeader {
  /// A tensor's entry before its place in the file is known to be sane.
  struct Entry {
    let name: String
    let type: StoredType
    let shape: Shape
    let byteCount: UInt64
    /// Relative to the start of the tensor data.
    let offset: UInt64
    /// Where the entry's offset field stands.
    let place: UInt64
  }

  static func entries(_ cursor: FileCursor, count: Int) throws(TinctureError) -> [Entry] {
    var entries: [Entry] = []
    entries.reserveCapacity(count)
    var seen: Set<String> = []
    for index in 0..<count {
      let start = cursor.offset
      let name = try readName(cursor, index: index)
      guard seen.insert(name).inserted else {
        throw cursor.error("tensor.duplicate", "a tensor occurs twice", at: start)
          .at(tensor: name)
      }
      entries.append(
        try located(tensor: name) { () throws(TinctureError) in
          try readEntry(cursor, name: name)
        })
    }
    return entries
  }

  private static func readName(_ cursor: FileCursor, index: Int) throws(TinctureError) -> String {
    let start = cursor.offset
    let length = try cursor.integer(UInt64.self, "the name of tensor \(index)")
    guard length > 0, length <= UInt64(GGUFLimit.nameByteCount) else {
      throw cursor.error(
        "tensor.name", "the name of tensor \(index) has an impossible length", at: start,
        expected: "1 to \(GGUFLimit.nameByteCount) bytes", found: "\(length)")
    }
    let bytes = try cursor.bytes(length, "the name of tensor \(index)")
    guard let name = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
      throw cursor.error(
        "tensor.name", "the name of tensor \(index) is not text", at: start,
        expected: "UTF-8 without zero bytes", found: hex(Array(bytes.prefix(16))))
    }
    return name
  }

  private static func readEntry(_ cursor: FileCursor, name: String) throws(TinctureError) -> Entry {
    let shape = try readShape(cursor)
    let start = cursor.offset
    let id = try cursor.integer(UInt32.self, "a tensor's type")
    guard let type = StoredType(ggmlID: id) else {
      let removed = BlockFormat.removedName(id: id)
      throw cursor.error(
        "tensor.type",
        removed.map { "llama.cpp has removed the type \($0)" } ?? "unknown ggml type",
        at: start, kind: .unsupported, found: "type \(id)",
        advice: removed != nil
          ? "make the file again from the original checkpoint"
          : "the file is damaged, or newer than this program")
    }
    guard let rowByteCount = type.rowByteCount(shape.rowLength) else {
      throw cursor.error(
        "tensor.row", "the rows do not divide into blocks of \(type)", at: start,
        expected: type.rowRule, found: "\(shape.rowLength)")
    }
    let (byteCount, overflow) = rowByteCount.multipliedReportingOverflow(by: shape.rowCount)
    guard !overflow else {
      throw cursor.error(
        "tensor.size", "the tensor's size overflows", at: start,
        found: "shape \(shape) of \(type)")
    }
    let place = cursor.offset
    let offset = try cursor.integer(UInt64.self, "a tensor's offset")
    return Entry(
      name: name, type: type, shape: shape, byteCount: UInt64(byteCount), offset: offset,
      place: place)
  }

  private static func readShape(_ cursor: FileCursor) throws(TinctureError) -> Shape {
    let start = cursor.offset
    let rank = try cursor.integer(UInt32.self, "a tensor's number of dimensions")
    guard rank <= UInt32(GGUFLimit.rank) else {
      throw cursor.error(
        "tensor.rank", "too many dimensions", at: start, expected: "at most \(GGUFLimit.rank)",
        found: "\(rank)")
    }
    var dimensions: [Int] = []
    for _ in 0..<rank {
      let at = cursor.offset
      let dimension = try cursor.integer(Int64.self, "a tensor's dimensions")
      guard dimension > 0 else {
        throw cursor.error(
          "tensor.dimension", "a dimension is not positive", at: at, expected: "at least 1",
          found: "\(dimension)")
      }
      dimensions.append(Int(dimension))
    }
    guard let shape = Shape(checking: dimensions.reversed()) else {
      throw cursor.error(
        "tensor.size", "the number of elements overflows", at: start,
        found: "\(Array(dimensions.reversed()))")
    }
    return shape
  }

  /// Checks that the tensors stand one after the other, aligned, within the file.
  static func place(_ entries: [Entry], dataOffset: UInt64, alignment: UInt64, file: InputFile)
    throws(TinctureError) -> [TensorInfo]
  {
    var tensors: [TensorInfo] = []
    tensors.reserveCapacity(entries.count)
    // Invariant: expected is aligned; expected - alignment < what the file holds.
    var expected: UInt64 = 0
    let room = file.byteCount > dataOffset ? file.byteCount - dataOffset : 0
    for entry in entries {
      func failure(_ name: String, _ message: String, _ expected: String, _ found: String)
        -> TinctureError
      {
        TinctureError(
          .init("gguf.tensor." + name, .invalidInput), message,
          place: .init(file: file.path, byteOffset: entry.place, tensor: entry.name),
          expected: expected, found: found, advice: "download or copy the file again")
      }
      guard entry.offset % alignment == 0 else {
        throw failure(
          "misaligned", "the tensor's offset is not aligned", "a multiple of \(alignment)",
          "\(entry.offset)")
      }
      guard entry.offset == expected else {
        throw failure(
          entry.offset < expected ? "overlap" : "hole",
          entry.offset < expected
            ? "the tensor overlaps the one before it" : "bytes between tensors belong to none",
          "offset \(expected)", "\(entry.offset)")
      }
      guard expected <= room, entry.byteCount <= room - expected else {
        throw failure(
          "overrun", "the tensor goes beyond the end of the file",
          "\(entry.byteCount) bytes from byte \(dataOffset + expected)",
          "a file of \(file.byteCount) bytes")
      }
      tensors.append(
        TensorInfo(
          name: entry.name, type: entry.type, shape: entry.shape, fileIndex: 0,
          byteOffset: dataOffset + entry.offset, byteCount: entry.byteCount))
      expected = (expected + entry.byteCount + alignment - 1) / alignment * alignment
    }
    return tensors
  }
}
