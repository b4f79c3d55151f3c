import TinctureCore

/// Unicode's canonical decomposition and composition, NFD and NFC, of Unicode 9 (the tokenizers library's).
///
/// Source: Unicode Standard Annex 15; the table is `formats/unicode/canonical.json5`.
struct CanonicalForms: Sendable {
  /// Sorted characters and what each stands for: one or two characters (second 0 for none).
  private let characters: [UInt32]
  private let parts: [(first: UInt32, second: UInt32)]
  /// `first << 32 | second` of every pair that composes.
  private let compositions: [UInt64: UInt32]

  /// The table, read once in a process.
  ///
  /// - Throws: errors of the bundled file (`unicode.*`).
  static func load() throws(TinctureError) -> CanonicalForms { try loaded.get() }

  private static let loaded = Result { () throws(TinctureError) in try read() }

  private static func read() throws(TinctureError) -> CanonicalForms {
    var characters: [UInt32] = []
    var parts: [(first: UInt32, second: UInt32)] = []
    var compositions: [UInt64: UInt32] = [:]
    for file in try BundledFile.all(in: "unicode") {
      let root = try JSON.parse(
        file.bytes, file: "formats/" + file.name, mode: .lenient, code: "unicode")
      let excluded = Set(try numbers(root.member("excluded")))
      let list = try numbers(root.member("decompositions"))
      guard list.count % 3 == 0 else {
        throw try root.member("decompositions").error("count", "three numbers a character")
      }
      for index in stride(from: 0, to: list.count, by: 3) {
        characters.append(list[index])
        parts.append((list[index + 1], list[index + 2]))
        if list[index + 2] != 0, !excluded.contains(list[index]) {
          compositions[UInt64(list[index + 1]) << 32 | UInt64(list[index + 2])] = list[index]
        }
      }
    }
    return CanonicalForms(characters: characters, parts: parts, compositions: compositions)
  }

  private static func numbers(_ node: JSON) throws(TinctureError) -> [UInt32] {
    var list: [UInt32] = []
    list.reserveCapacity(node.count)
    for element in try node.array() {
      let number = try element.int()
      guard (0...0x10FFFF).contains(number) else {
        throw element.error("range", "no character", found: "\(number)")
      }
      list.append(UInt32(number))
    }
    return list
  }

  /// The canonical combining class; 0 for what Unicode 9 does not know.
  private func order(_ scalar: UInt32) -> UInt8 {
    guard scalar >= 0x300, let scalar = Unicode.Scalar(scalar) else { return 0 }
    let order = scalar.properties.canonicalCombiningClass.rawValue
    return order != 0 && UnicodeClasses.isYounger(scalar, than: 9) ? 0 : order
  }

  private func append(_ scalar: UInt32, to list: inout [UInt32]) {
    if scalar < 0xC0 {
      list.append(scalar)
      return
    }
    if (0xAC00..<0xAC00 + 11172).contains(scalar) {
      let index = scalar - 0xAC00
      list.append(0x1100 + index / 588)
      list.append(0x1161 + index % 588 / 28)
      if index % 28 != 0 { list.append(0x11A7 + index % 28) }
      return
    }
    var low = 0
    var high = characters.count
    while low < high {
      let middle = (low + high) / 2
      if characters[middle] < scalar { low = middle + 1 } else { high = middle }
    }
    guard low < characters.count, characters[low] == scalar else {
      list.append(scalar)
      return
    }
    append(parts[low].first, to: &list)
    if parts[low].second != 0 { append(parts[low].second, to: &list) }
  }

  /// NFD.
  func decomposed(_ scalars: some Sequence<UInt32>) -> [UInt32] {
    var list: [UInt32] = []
    for scalar in scalars { append(scalar, to: &list) }
    // Runs of combining characters in order of their class; stable.
    var index = 0
    while index < list.count {
      guard order(list[index]) != 0 else {
        index += 1
        continue
      }
      var run: [(scalar: UInt32, order: UInt8)] = []
      let start = index
      var isSorted = true
      while index < list.count {
        let order = order(list[index])
        guard order != 0 else { break }
        if let last = run.last, last.order > order { isSorted = false }
        run.append((list[index], order))
        index += 1
      }
      guard !isSorted else { continue }
      let sorted = run.enumerated().sorted {
        ($0.element.order, $0.offset) < ($1.element.order, $1.offset)
      }
      for (offset, item) in sorted.enumerated() { list[start + offset] = item.element.scalar }
    }
    return list
  }

  /// NFC.
  func composed(_ scalars: some Sequence<UInt32>) -> [UInt32] {
    let list = decomposed(scalars)
    var result: [UInt32] = []
    result.reserveCapacity(list.count)
    var starter: Int?
    var lastOrder: UInt8 = 0
    for scalar in list {
      let order = order(scalar)
      if let place = starter {
        let isAdjacent = place == result.count - 1
        if isAdjacent || lastOrder != 0 && lastOrder < order,
          let made = composition(result[place], scalar)
        {
          result[place] = made
          continue
        }
      }
      if order == 0 { starter = result.count }
      lastOrder = order
      result.append(scalar)
    }
    return result
  }

  private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if (0x1100..<0x1113).contains(first), (0x1161..<0x1176).contains(second) {
      return 0xAC00 + (first - 0x1100) * 588 + (second - 0x1161) * 28
    }
    if (0xAC00..<0xAC00 + 11172).contains(first), (first - 0xAC00) % 28 == 0,
      (0x11A8..<0x11C3).contains(second)
    {
      return first + second - 0x11A7
    }
    return compositions[UInt64(first) << 32 | UInt64(second)]
  }
}
