import TinctureCore

/// A checkpoint's config.json: the root object and, in multimodal checkpoints, its `text_config`.
///
/// A field of `text_config` stands before one of the same name in the root; null counts as absent.
package struct CheckpointConfig: Sendable {
  package let root: JSON
  package let text: JSON?

  /// Largest config.json that is read.
  package static let byteLimit = 16 << 20

  /// Reads `config.json` of `folder`.
  ///
  /// - Throws: `config.missing` when there is none, `config.*` when it is malformed.
  package static func open(folder: String) throws(TinctureError) -> CheckpointConfig {
    let path = Folder.join(folder, "config.json")
    guard Folder.kind(path) == .file else {
      throw TinctureError(
        .init("config.missing", .invalidInput), "the checkpoint has no config.json",
        place: .init(file: path),
        advice: "put config.json of the model beside its safetensors files")
    }
    let bytes = try InputFile(path: path).contents(limit: byteLimit)
    return try CheckpointConfig(JSON.parse(bytes, file: path, code: "config"))
  }

  package init(_ root: JSON) throws(TinctureError) {
    _ = try root.object()
    self.root = root
    text = root.present("text_config")
    if let text { _ = try text.object() }
  }

  /// The field, or nil when it is absent or null.
  package func present(_ key: String) -> JSON? {
    text?.present(key) ?? root.present(key)
  }

  /// Says why ``present(_:)`` finds nothing: "config.json has no KEY", or that the field is there and null.
  package func lack(_ key: String, quoted: Bool = false) -> String {
    let name = quoted ? "\"\(key)\"" : key
    return null(key) == nil ? "config.json has no \(name)" : "config.json says null for \(name)"
  }

  /// The field when it is there and null.
  package func null(_ key: String) -> JSON? {
    guard let node = text?[key] ?? root[key], node.kind == .null else { return nil }
    return node
  }

  /// Every field of both objects with a value other than null, in file order.
  package var fields: [(key: String, value: JSON)] {
    get throws(TinctureError) {
      var fields: [(key: String, value: JSON)] = []
      for object in [root, text].compactMap({ $0 }) {
        for (key, value) in object.members where value.kind != .null {
          fields.append((try key.string(), value))
        }
      }
      return fields
    }
  }

  /// An error about a field that is well-formed but asks for what llama.cpp does not compute.
  package static func unsupported(
    _ node: JSON, _ name: String, _ message: String, expected: String? = nil,
    found: String? = nil, advice: String? = nil
  ) -> TinctureError {
    let error = node.error(name, message, expected: expected, found: found, advice: advice)
    return TinctureError(
      .init("engine." + name, .unsupported), error.message, place: error.place,
      expected: error.expected, found: error.found, advice: error.advice)
  }
}

/// Fields of config.json that never change what a model computes: `formats/config/harmless.json5`.
package struct HarmlessFields: Sendable {
  private let names: Set<String>

  /// Reads the list compiled in (or the one of `TINCTURE_FORMATS`).
  package static func load() throws(TinctureError) -> HarmlessFields {
    var names: Set<String> = []
    for file in try BundledFile.all(in: "config") where file.name == "config/harmless.json5" {
      let root = try JSON.parse(
        file.bytes, file: file.path, mode: .lenient, code: "formats")
      for (_, group) in try root.object() {
        for name in try group.array() { names.insert(try name.string()) }
      }
    }
    return HarmlessFields(names: names)
  }

  package func contains(_ name: String) -> Bool { names.contains(name) }
}
