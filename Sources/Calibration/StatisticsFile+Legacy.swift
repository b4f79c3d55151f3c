import TinctureContainers
import TinctureCore

extension StatisticsFile {
  /// Reads the older form, all little-endian: int32 entries; each an int32 name length, the name, int32
  /// calls, int32 values, that many floats (mean of x² times calls); then, in files since early 2024, int32
  /// chunks, int32 length and the name of the text.
  static func readLegacy(_ file: InputFile) throws(TinctureError) -> StatisticsContent {
    let cursor = FileCursor(file, code: "imatrix")
    let declared = try cursor.integer(Int32.self, "the number of entries")
    // The smallest entry: a name of one byte and one value.
    let room = cursor.remaining / 17
    guard declared > 0, UInt64(declared) <= room else {
      throw cursor.error(
        "count", "an impossible number of entries", at: 0, expected: "1 to \(room)",
        found: "\(declared)", advice: "not an imatrix file, or cut short: download it again")
    }
    var content = StatisticsContent()
    content.entries.reserveCapacity(Int(declared))
    var seen: Set<String> = []
    for index in 0..<Int(declared) {
      let start = cursor.offset
      let entry = try readEntry(cursor, index)
      guard seen.insert(entry.name).inserted else {
        throw cursor.error("duplicate", "a tensor occurs twice", at: start).at(tensor: entry.name)
      }
      content.entries.append(entry)
    }
    guard cursor.remaining > 0 else { return content }
    let chunkStart = cursor.offset
    let chunks = try cursor.integer(Int32.self, "the number of chunks")
    guard chunks >= 0 else {
      throw cursor.error(
        "chunks", "an impossible number of chunks", at: chunkStart, expected: "at least 0",
        found: "\(chunks)")
    }
    content.chunkCount = Int(chunks)
    guard cursor.remaining > 0 else { return content }
    let dataset = try text(cursor, "the text's name", least: 0)
    if !dataset.isEmpty { content.datasets = [dataset] }
    guard cursor.remaining == 0 else {
      throw cursor.error(
        "trailing", "bytes after the last field belong to none",
        expected: "a file of \(cursor.offset) bytes", found: "\(file.byteCount)",
        advice: "not an imatrix file, or damaged: download it again")
    }
    return content
  }

  private static func text(_ cursor: FileCursor, _ what: String, least: Int32)
    throws(TinctureError) -> String
  {
    let start = cursor.offset
    let length = try cursor.integer(Int32.self, what)
    guard length >= least, length >= 0, UInt64(length) <= cursor.remaining else {
      throw cursor.error(
        "text", "impossible length of \(what)", at: start,
        expected: "\(least) to \(cursor.remaining) bytes", found: "\(length)",
        advice: "not an imatrix file, or cut short: download it again")
    }
    let bytes = try cursor.bytes(UInt64(length), what)
    guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
      throw cursor.error(
        "text", "\(what) is not text", at: start, expected: "UTF-8 without zero bytes",
        found: hex(Array(bytes.prefix(16))))
    }
    return text
  }

  private static func readEntry(_ cursor: FileCursor, _ index: Int) throws(TinctureError) -> Entry {
    let name = try text(cursor, "the name of entry \(index)", least: 1)
    return try located(file: cursor.file.path, tensor: name) { () throws(TinctureError) in
      let callsAt = cursor.offset
      let calls = try cursor.integer(Int32.self, "the number of calls")
      let countAt = cursor.offset
      let count = try cursor.integer(Int32.self, "the number of values")
      guard calls > 0 else {
        guard calls == 0 else {
          throw cursor.error(
            "calls", "a negative number of calls", at: callsAt, expected: "at least 1",
            found: "\(calls)")
        }
        throw noCalls(name, at: callsAt)
      }
      guard count > 0, UInt64(count) <= cursor.remaining / 4 else {
        throw cursor.error(
          "values", "an impossible number of values", at: countAt,
          expected: "1 to \(cursor.remaining / 4)", found: "\(count)",
          advice: "the file is cut short or damaged: download it again")
      }
      let dataAt = cursor.offset
      let bytes = try cursor.bytes(UInt64(count) * 4, "the values")
      let sums = try values(
        bytes, count: Int(count), limit: .greatestFiniteMagnitude, at: dataAt)
      let divisor = Float(calls)
      return Entry(name: name, values: sums.map { $0 / divisor }, matrixCount: 1)
    }
  }
}
