import TinctureContainers
import TinctureCore

extension BoundModel {
  /// Binds a GGUF file as a source: names and metadata stay, roles come from the architecture file.
  ///
  /// - Throws: `architecture.unknown`, `gguf.metadata` for missing or mistyped keys, `tensors.unknown`,
  ///   `tensors.missing`, `tensors.layer`.
  /// - Complexity: O(tensors × rules).
  public static func bind(
    gguf: GGUFFile, options: BindingOptions = BindingOptions()
  ) throws(TinctureError) -> BoundModel {
    let keys = GGUFKeys(gguf)
    let name = try keys.string("general.architecture")
    if let type = gguf.value("general.type"), type != .string("model") {
      throw keys.failure("general.type", "the file is not a model", expected: "model")
    }
    if options.preTokenizer != nil {
      throw TinctureError(
        .init("usage.preTokenizer", .usage), "a GGUF file has its pre-tokenizer already",
        place: .init(file: gguf.path), advice: "use --metadata tokenizer.ggml.pre=NAME to change it"
      )
    }
    let architecture = try Architecture.named(name, file: gguf.path)
    let layers = try keys.integer(name + ".block_count")
    guard (1...4096).contains(layers) else {
      throw keys.failure(name + ".block_count", "the number is out of range", expected: "1 to 4096")
    }
    let heads = try keys.integer(name + ".attention.head_count")
    let keyValueHeads =
      gguf.value(name + ".attention.head_count_kv") == nil
      ? heads : try keys.integer(name + ".attention.head_count_kv")
    guard heads > 0, keyValueHeads > 0, heads % keyValueHeads == 0 else {
      throw keys.failure(
        name + ".attention.head_count_kv", "the heads cannot be shared out evenly",
        expected: "a number that divides \(heads)")
    }
    let tensors = try canonicalTensors(gguf, architecture, layers: layers)
    let planned: Set<String> = ["general.file_type", "general.quantization_version"]
    var model = BoundModel(
      architecture: name, layerCount: layers, headCount: heads, keyValueHeadCount: keyValueHeads,
      tensors: tensors, metadata: gguf.metadata.filter { !planned.contains($0.key) },
      coverage: tensors.map { ($0.name, .written(as: $0.name)) }, notes: [], source: gguf)
    model.runtime = RuntimeFacts(architecture, own: nil, heads: [])
    return model
  }

  private static func canonicalTensors(
    _ gguf: GGUFFile, _ architecture: Architecture, layers: Int
  ) throws(TinctureError) -> [CanonicalTensor] {
    var tensors: [CanonicalTensor] = []
    var unknown: [String] = []
    for info in gguf.tensors {
      var found: (rule: TensorRule, layer: Int?)?
      for rule in architecture.tensors {
        if let match = rule.to.match(info.name.utf8) {
          found = (rule, match.layer)
          break
        }
      }
      guard let (rule, layer) = found else {
        unknown.append(info.name)
        continue
      }
      if let layer, layer >= layers {
        throw TinctureError(
          .init("tensors.layer", .invalidInput),
          "the file has more layers than its block_count says",
          place: .init(file: gguf.path, tensor: info.name, layer: layer),
          expected: "layers 0 to \(layers - 1)", found: "layer \(layer)")
      }
      tensors.append(
        CanonicalTensor(
          name: info.name, shape: info.shape, role: rule.role, layer: layer,
          expression: RowExpression(pieces: [
            .source(
              SourceTensor(info), firstRow: 0, rowCount: info.shape.rowCount, order: .identity,
              scale: 1, add: 0)
          ])))
    }
    guard unknown.isEmpty else {
      throw TinctureError(
        .init("tensors.unknown", .unsupported),
        "\(BundledFile.path(architecture.fileName)) does not know these tensors",
        place: .init(file: gguf.path, tensor: unknown.first), found: Binding.list(unknown),
        advice: "their roles decide their types; add them to the architecture file")
    }
    let names = Set(tensors.map(\.name))
    var absent: [String] = []
    for rule in architecture.tensors
    where !rule.from.isEmpty && !rule.isOptional && rule.condition == nil {
      let numbers: [Int?] = rule.to.hasLayer ? (0..<layers).map { $0 } : [nil]
      for layer in numbers {
        let name = rule.to.name(layer: layer)
        let isInside = rule.inside.map { names.contains($0.name(layer: layer)) } ?? false
        if !names.contains(name), !isInside { absent.append(name) }
      }
    }
    guard absent.isEmpty else {
      throw TinctureError(
        .init("tensors.missing", .invalidInput), "the file lacks tensors of its architecture",
        place: .init(file: gguf.path, tensor: absent.first), expected: Binding.list(absent),
        advice: "llama.cpp would not load it; take the whole file")
    }
    return tensors
  }
}

/// Typed look-ups in a GGUF file's metadata.
private struct GGUFKeys {
  let file: GGUFFile

  init(_ file: GGUFFile) { self.file = file }

  func string(_ key: String) throws(TinctureError) -> String {
    guard let value = file.value(key) else {
      throw failure(key, "the key is missing", expected: "a string")
    }
    guard case .string(let text) = value else {
      throw failure(key, "the key has another type", expected: "a string")
    }
    return text.text
  }

  func integer(_ key: String) throws(TinctureError) -> Int {
    let value: Int?
    switch file.value(key) {
    case .uint32(let number): value = Int(number)
    case .int32(let number): value = Int(number)
    case .uint64(let number): value = Int(exactly: number)
    case .int64(let number): value = Int(exactly: number)
    case .array(.uint32(let numbers)):
      value = Set(numbers).count == 1 ? numbers.first.map(Int.init) : nil
    case .array(.int32(let numbers)):
      value = Set(numbers).count == 1 ? numbers.first.map(Int.init) : nil
    default: value = nil
    }
    guard let value else {
      throw failure(key, "the key is missing or not a number", expected: "a number")
    }
    return value
  }

  func failure(_ key: String, _ message: String, expected: String) -> TinctureError {
    var found = "nothing"
    if let value = file.value(key) { found = String("\(value)".prefix(80)) }
    return TinctureError(
      .init("gguf.metadata", .invalidInput), message, place: .init(file: file.path, key: key),
      expected: expected, found: found)
  }
}
