/// A tensor name with holes: `layers.{i}.mlp.up_proj.weight`, `vision_tower.{rest}`.
///
/// `{i}` stands for a layer number without leading zeros, `{rest}` at the end for any text that is not empty.
/// A pattern holds at most one `{i}`.
package struct NamePattern: Hashable, Sendable {
  /// The pattern as written.
  package let text: String
  private let head: [UInt8]
  private let tail: [UInt8]
  package let hasLayer: Bool
  package let hasRest: Bool

  /// Nil when the text has an unknown hole, two `{i}`, or `{rest}` anywhere but at the end.
  package init?(_ text: String) {
    self.text = text
    var bytes = Array(text.utf8)
    let rest = Array("{rest}".utf8)
    hasRest = bytes.count >= rest.count && Array(bytes.suffix(rest.count)) == rest
    if hasRest { bytes.removeLast(rest.count) }
    let hole = Array("{i}".utf8)
    let places = bytes.indices.filter { bytes[$0...].starts(with: hole) }
    guard places.count <= 1 else { return nil }
    hasLayer = !places.isEmpty
    if let place = places.first {
      head = Array(bytes[..<place])
      tail = Array(bytes[(place + hole.count)...])
    } else {
      head = bytes
      tail = []
    }
    guard !(head + tail).contains(UInt8(ascii: "{")) else { return nil }
  }

  /// What a name fits a pattern with.
  package struct Match: Equatable, Sendable {
    /// The number in the place of `{i}`.
    package let layer: Int?

    package init(layer: Int?) { self.layer = layer }
  }

  /// The match of `name`, or nil.
  package func match(_ name: some Collection<UInt8>) -> Match? {
    guard name.starts(with: head) else { return nil }
    var position = name.index(name.startIndex, offsetBy: head.count)
    var layer: Int?
    if hasLayer {
      guard let (number, end) = Self.number(name, at: position) else { return nil }
      layer = number
      position = end
      guard name[position...].starts(with: tail) else { return nil }
      position = name.index(position, offsetBy: tail.count)
    }
    guard hasRest == (position < name.endIndex) else { return nil }
    return Match(layer: layer)
  }

  private static func number<C: Collection<UInt8>>(
    _ name: C, at start: C.Index
  ) -> (Int, C.Index)? {
    var end = start
    var value = 0
    while end < name.endIndex, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(name[end]) {
      value = value * 10 + Int(name[end] - UInt8(ascii: "0"))
      end = name.index(after: end)
      if value > 999_999 { return nil }
    }
    let digits = name.distance(from: start, to: end)
    guard digits > 0, digits == 1 || name[start] != UInt8(ascii: "0") else { return nil }
    return (value, end)
  }

  /// The name of `layer`; `{rest}` becomes `x`.
  package func name(layer: Int?) -> String {
    var bytes = head
    if hasLayer { bytes += Array(String(layer ?? 0).utf8) }
    bytes += tail
    if hasRest { bytes.append(UInt8(ascii: "x")) }
    return String(decoding: bytes, as: UTF8.self)
  }
}
