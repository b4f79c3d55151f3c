import TinctureCore

/// The types of metadata keys that a user may set: `formats/config/metadata-types.json5`.
package struct MetadataTypes: Sendable {
  /// A type as `--metadata KEY:TYPE=VALUE` spells it; `token` is an uint32 below the vocabulary's size.
  package enum Kind: String, Sendable, CaseIterable {
    case str, bool, u32, i32, f32, token
    case strings = "str[]"

    /// The word for the stored type.
    package var typeName: String { self == .token ? "u32" : rawValue }
  }

  private let entries: [(parts: [Substring], kind: Kind)]

  /// The list compiled in (or the one of `TINCTURE_FORMATS`), read once in a process.
  ///
  /// - Throws: `formats.*`.
  package static func load() throws(TinctureError) -> MetadataTypes { try loaded.get() }

  private static let loaded = Result { () throws(TinctureError) in try read() }

  private static func read() throws(TinctureError) -> MetadataTypes {
    let name = "config/metadata-types.json5"
    var entries: [(parts: [Substring], kind: Kind)] = []
    for file in try BundledFile.all(in: "config") where file.name == name {
      let root = try JSON.parse(file.bytes, file: file.path, mode: .lenient, code: "formats")
      for (key, value) in try root.object() {
        entries.append(
          (try key.string().split(separator: "."), try FormatObject.word(value, Kind.self)))
      }
    }
    return MetadataTypes(entries: entries)
  }

  /// The type of `key`, nil when the list does not have it.
  package func kind(of key: String) -> Kind? {
    let parts = key.split(separator: ".", omittingEmptySubsequences: false)
    return entries.first { Self.matches($0.parts, parts) }?.kind
  }

  private static func matches(_ pattern: [Substring], _ parts: [Substring]) -> Bool {
    guard pattern.count <= parts.count else { return false }
    for (index, piece) in pattern.enumerated() {
      switch piece {
      case "{name}": return index == pattern.count - 1 && !parts[index].isEmpty
      case "{n}":
        guard Int(parts[index]) != nil else { return false }
      default:
        guard piece == parts[index] else { return false }
      }
    }
    return pattern.count == parts.count
  }
}
