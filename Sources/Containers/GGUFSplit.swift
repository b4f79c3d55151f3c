import TinctureCore

/// What a part of a split set says about the set: `split.no`, `split.count`, `split.tensors.count`.
///
/// Source: llama.cpp `src/llama-model-loader.cpp`, `tools/gguf-split/gguf-split.cpp`.
package struct GGUFSplit: Sendable, Hashable {
  package static let numberKey = "split.no"
  package static let countKey = "split.count"
  package static let tensorCountKey = "split.tensors.count"
  package static let keys: Set<String> = [numberKey, countKey, tensorCountKey]
  /// `split.count` is an uint16.
  package static let mostParts = 65_535

  /// From 0.
  package let number: Int
  package let count: Int
  /// Tensors of all parts.
  package let tensorCount: Int

  /// nil when the header has no such keys.
  package init?(_ header: GGUFHeader, path: String) throws(TinctureError) {
    let values = header.metadata.filter { GGUFSplit.keys.contains($0.key) }
    guard !values.isEmpty else { return nil }
    func integer(_ key: String, _ range: ClosedRange<UInt64>) throws(TinctureError) -> Int {
      let value = values.first { $0.key == key }?.value
      guard let number = value?.unsigned, range.contains(number) else {
        throw TinctureError(
          .init("gguf.split.value", .invalidInput), "the keys of a split set are wrong",
          place: .init(file: path, key: key),
          expected: "an integer from \(range.lowerBound) to \(range.upperBound)",
          found: value?.summary ?? "no such key",
          advice: "download the part again, or split the model again")
      }
      return Int(number)
    }
    count = try integer(GGUFSplit.countKey, 1...UInt64(GGUFSplit.mostParts))
    number = try integer(GGUFSplit.numberKey, 0...UInt64(count - 1))
    tensorCount = try integer(GGUFSplit.tensorCountKey, 0...UInt64(Int32.max))
  }

  /// The file name of part `index` (from 0) of `count`: `PREFIX-00002-of-00003.gguf`.
  package static func path(prefix: String, index: Int, count: Int) -> String {
    "\(prefix)-\(fiveDigits(index + 1))-of-\(fiveDigits(count)).gguf"
  }

  private static func fiveDigits(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  /// The part of `path` before `-00001-of-00003.gguf`.
  package func prefix(of path: String) throws(TinctureError) -> String {
    let ending = GGUFSplit.path(prefix: "", index: number, count: count)
    guard path.hasSuffix(ending), path.utf8.count > ending.utf8.count else {
      throw TinctureError(
        .init("gguf.split.name", .invalidInput),
        "the file is part \(number + 1) of \(count), but its name does not say so",
        place: .init(file: path), expected: "a name ending in \(ending)",
        advice: "give all parts the names they were made with")
    }
    return String(path.dropLast(ending.count))
  }

  /// Checks that `headers` are the parts of one set, in order.
  static func check(_ headers: [GGUFHeader], files: [InputFile], tensorCount: Int)
    throws(TinctureError)
  {
    for (index, header) in headers.enumerated() {
      let path = files[index].path
      func failure(_ key: String, _ expected: String, _ found: String) -> TinctureError {
        TinctureError(
          .init("gguf.split.mixed", .invalidInput), "the part does not belong to this set",
          place: .init(file: path, key: key), expected: expected, found: found,
          advice: "download the set again; its parts come from different models or splits")
      }
      guard let split = try GGUFSplit(header, path: path) else {
        guard headers.count > 1 else { return }
        throw failure(countKey, "\(headers.count)", "no such key")
      }
      guard split.count == headers.count else {
        throw failure(countKey, "\(headers.count)", "\(split.count)")
      }
      guard split.number == index else {
        throw failure(numberKey, "\(index)", "\(split.number)")
      }
      guard split.tensorCount == tensorCount else {
        throw failure(
          tensorCountKey, "\(tensorCount), the number of tensors in all parts",
          "\(split.tensorCount)")
      }
    }
  }
}
