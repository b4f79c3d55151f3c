/// Rules of text inside JSON strings: UTF-8 and escapes.
enum JSONText {
  /// Length of the well-formed UTF-8 sequence at `index` (Unicode 15, table 3-7), or nil.
  static func scalarLength(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> Int? {
    func tail(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
      index + offset < bytes.count && range.contains(bytes[index + offset])
    }
    switch bytes[index] {
    case 0x00...0x7F: return 1
    case 0xC2...0xDF: return tail(1) ? 2 : nil
    case 0xE0: return tail(1, 0xA0...0xBF) && tail(2) ? 3 : nil
    case 0xED: return tail(1, 0x80...0x9F) && tail(2) ? 3 : nil
    case 0xE1...0xEF: return tail(1) && tail(2) ? 3 : nil
    case 0xF0: return tail(1, 0x90...0xBF) && tail(2) && tail(3) ? 4 : nil
    case 0xF1...0xF3: return tail(1) && tail(2) && tail(3) ? 4 : nil
    case 0xF4: return tail(1, 0x80...0x8F) && tail(2) && tail(3) ? 4 : nil
    default: return nil
    }
  }

  /// How many bytes stand before the first that is not well-formed UTF-8, nil when all are.
  static func firstFault(_ text: ArraySlice<UInt8>) -> Int? {
    Array(text).withUnsafeBufferPointer { bytes in
      var index = 0
      while index < bytes.count {
        guard let length = scalarLength(bytes, at: index) else { return index }
        index += length
      }
      return nil
    }
  }

  /// Length in bytes of the escape at `index` (a backslash), or nil when it is none; a surrogate needs its pair.
  static func escapeLength(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> Int? {
    guard index + 1 < bytes.count else { return nil }
    switch bytes[index + 1] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
      UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
      return 2
    case UInt8(ascii: "u"):
      guard let unit = codeUnit(bytes, at: index) else { return nil }
      if unit & 0xFC00 == 0xDC00 { return nil }
      guard unit & 0xFC00 == 0xD800 else { return 6 }
      guard let low = codeUnit(bytes, at: index + 6), low & 0xFC00 == 0xDC00 else { return nil }
      return 12
    default: return nil
    }
  }

  /// The 16-bit unit of `\uXXXX` at `index`.
  private static func codeUnit(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> UInt32? {
    guard index + 5 < bytes.count, bytes[index] == UInt8(ascii: "\\"),
      bytes[index + 1] == UInt8(ascii: "u")
    else { return nil }
    var unit: UInt32 = 0
    for offset in 2..<6 {
      let byte = bytes[index + offset]
      let digit: UInt8
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: return nil
      }
      unit = unit << 4 | UInt32(digit)
    }
    return unit
  }

  /// The bytes a checked string node means.
  static func unescaped(_ bytes: UnsafeBufferPointer<UInt8>, _ node: JSONNode) -> [UInt8] {
    guard node.isEscaped else { return Array(bytes[node.range]) }
    var text: [UInt8] = []
    text.reserveCapacity(node.range.count)
    var index = Int(node.start)
    while index < Int(node.end) {
      let byte = bytes[index]
      guard byte == UInt8(ascii: "\\") else {
        text.append(byte)
        index += 1
        continue
      }
      switch bytes[index + 1] {
      case UInt8(ascii: "b"): text.append(0x08)
      case UInt8(ascii: "f"): text.append(0x0C)
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "u"):
        var value = codeUnit(bytes, at: index) ?? 0xFFFD
        if value & 0xFC00 == 0xD800, let low = codeUnit(bytes, at: index + 6) {
          value = 0x10000 + (value & 0x3FF) << 10 + (low & 0x3FF)
          index += 6
        }
        index += 4
        if let scalar = Unicode.Scalar(value) {
          text.append(contentsOf: UTF8.encode(scalar) ?? .init())
        }
      default: text.append(bytes[index + 1])
      }
      index += 2
    }
    return text
  }
}
