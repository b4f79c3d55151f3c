import TinctureContainers
import TinctureCore

/// What modules.json of sentence-transformers adds to a model: how token vectors are pooled, and dense heads.
///
/// Sources: sentence-transformers models/{Pooling,Dense}.py; llama.cpp conversion/base.py,
/// _try_set_pooling_type; src/llama-graph.cpp, build_dense_out.
package struct SentenceModules {
  struct Dense {
    /// Folder of the module, `2_Dense`.
    var folder: String
    var source: SafetensorsCheckpoint
    /// `dense_2` or `dense_3`.
    var target: String
    var inputs, outputs: Int
  }

  /// llama.cpp's number of the pooling (enum llama_pooling_type).
  package private(set) var pooling: UInt32?
  private(set) var dense: [Dense] = []
  /// Whether a vector gets length 1 before the dense heads, and after them.
  private(set) var normalizesPooled = false, normalizesResult = false
  /// What sentence-transformers does to a text; nil without modules.json.
  private(set) var settings: SentenceSettings?
  private(set) var notes: [String] = []
  /// Folder of the transformer inside the checkpoint; empty for the checkpoint itself.
  private var transformer = ""

  private static let limit = 1 << 20
  /// Gives the bytes of a file.
  package typealias Reader = (String) throws(TinctureError) -> [UInt8]

  private init() {}

  /// Reads modules.json of `folder`; without one there is nothing.
  ///
  /// - Throws: `modules.*`, `engine.module` for a module that llama.cpp does not compute.
  init(folder: String, rule: SentenceModuleRule, width: Int) throws(TinctureError) {
    guard rule != .ignored, Folder.kind(Folder.join(folder, "modules.json")) == .file else {
      self.init()
      return
    }
    try self.init(folder: folder, rule: rule, width: width) {
      (path) throws(TinctureError) -> [UInt8] in
      try InputFile(path: path).contents(limit: Self.limit)
    }
    settings = try SentenceSettings(
      folder: folder,
      transformer: transformer.isEmpty ? folder : Folder.join(folder, transformer))
  }

  /// The same with `contents` in the place of files: modules.json first, then each module's config.json.
  package init(
    folder: String, rule: SentenceModuleRule, width: Int, contents: Reader
  ) throws(TinctureError) {
    let root = try Self.parse(Folder.join(folder, "modules.json"), contents)
    for module in try root.array() {
      let type = try module.member("type").string()
      let name = String(type.split(separator: ".").last ?? "")
      switch name {
      // llama.cpp's tools normalise whatever the model; a vector before it differs by its length only.
      case "Normalize":
        if dense.isEmpty { normalizesPooled = true } else { normalizesResult = true }
      case "Transformer":
        if let path = module.present("path"), try !path.string().isEmpty {
          transformer = try Self.folder(module)
        }
      case "Pooling": try readPooling(folder, module, contents)
      case "Dense" where rule == .poolingAndDense: try readDense(folder, module, contents)
      default:
        throw CheckpointConfig.unsupported(
          try module.member("type"), "module",
          "llama.cpp does not compute this module of sentence-transformers",
          expected: rule == .poolingAndDense
            ? "Transformer, Pooling, Dense, Normalize" : "Transformer, Pooling, Normalize",
          found: type, advice: "its embeddings would differ from the model's, so nothing is written"
        )
      }
    }
    if let first = dense.first, let last = dense.last,
      first.inputs != width || last.outputs != width
    {
      throw root.error(
        "width", "the dense heads do not begin and end with the model's width",
        expected: "\(width) (llama.cpp src/models/gemma-embedding.cpp)",
        found: "\(first.inputs) to \(last.outputs)")
    }
    guard dense.count != 1 else {
      throw CheckpointConfig.unsupported(
        root, "module", "models of this architecture have two dense heads or none",
        expected: "two", found: "one")
    }
    for (one, next) in zip(dense, dense.dropFirst()) where one.outputs != next.inputs {
      throw root.error(
        "width", "the dense heads do not fit each other", expected: "\(one.outputs)",
        found: "\(next.inputs)")
    }
  }

  private static func parse(_ path: String, _ contents: Reader) throws(TinctureError) -> JSON {
    try JSON.parse(contents(path), file: path, code: "modules")
  }

  /// The module's folder inside the checkpoint; a path that leads elsewhere is refused.
  private static func folder(_ module: JSON) throws(TinctureError) -> String {
    let node = try module.member("path")
    let path = try node.string()
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard !path.isEmpty, parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }) else {
      throw node.error(
        "path", "a module must stand in a folder of the checkpoint",
        expected: "a name such as 1_Pooling",
        found: path)
    }
    return path
  }

  private mutating func readPooling(
    _ folder: String, _ module: JSON, _ contents: Reader
  ) throws(TinctureError) {
    let path = Folder.join(
      Folder.join(folder, try Self.folder(module)), "config.json")
    let config = try Self.parse(path, contents)
    let flags: [(key: String, number: UInt32?)] = [
      ("pooling_mode_mean_tokens", 1), ("pooling_mode_cls_token", 2), ("pooling_mode_lasttoken", 3),
      ("pooling_mode_max_tokens", nil), ("pooling_mode_mean_sqrt_len_tokens", nil),
      ("pooling_mode_weightedmean_tokens", nil),
    ]
    var chosen: [(key: String, number: UInt32?)] = []
    for flag in flags {
      if let node = config.present(flag.key), try node.bool() { chosen.append(flag) }
    }
    if let node = config.present("pooling_mode") {
      let names: [String: UInt32] = ["mean": 1, "cls": 2, "lasttoken": 3]
      let name = try node.string()
      chosen.append((name, names[name]))
    }
    let numbers = Set(chosen.map(\.number))
    guard numbers.count == 1, let number = chosen.first?.number else {
      throw CheckpointConfig.unsupported(
        config, "pooling", "llama.cpp does not compute this pooling",
        expected: "one of mean, cls, lasttoken",
        found: chosen.isEmpty ? "none" : chosen.map(\.key).joined(separator: " and "))
    }
    pooling = number
    if let node = config.present("include_prompt"), try !node.bool() {
      notes.append(
        "\(Folder.split(Folder.split(path).folder).name)/config.json has include_prompt false: sentence-transformers leaves "
          + "the tokens of a prompt out of the pooling, llama.cpp pools all tokens")
    }
  }

  private mutating func readDense(
    _ folder: String, _ module: JSON, _ contents: Reader
  ) throws(TinctureError) {
    let name = try Self.folder(module)
    let path = Folder.join(folder, name)
    let config = try Self.parse(Folder.join(path, "config.json"), contents)
    guard dense.count < 2 else {
      throw CheckpointConfig.unsupported(
        module, "module", "llama.cpp computes two dense heads at most")
    }
    if let node = config.present("bias"), try node.bool() {
      throw CheckpointConfig.unsupported(
        node, "module", "llama.cpp's dense heads have no bias", expected: "false", found: "true")
    }
    let activation = try config.member("activation_function")
    guard try activation.string().split(separator: ".").last == "Identity" else {
      throw CheckpointConfig.unsupported(
        activation, "module", "llama.cpp's dense heads have no activation", expected: "Identity",
        found: activation.shortText)
    }
    dense.append(
      Dense(
        folder: name, source: try SafetensorsCheckpoint.open(path),
        target: dense.isEmpty ? "dense_2" : "dense_3",
        inputs: try Self.size(config.member("in_features")),
        outputs: try Self.size(config.member("out_features"))))
  }

  private static func size(_ node: JSON) throws(TinctureError) -> Int {
    let value = try node.int()
    guard value > 0, value <= 1 << 24 else {
      throw node.error(
        "range", "the number is out of range", expected: "1 to 2^24", found: "\(value)")
    }
    return value
  }

  func metadata(architecture: String) -> [(key: String, value: GGUFValue)] {
    var entries: [(key: String, value: GGUFValue)] = []
    for head in dense {
      entries.append(("\(architecture).\(head.target)_feat_in", .uint32(UInt32(head.inputs))))
      entries.append(("\(architecture).\(head.target)_feat_out", .uint32(UInt32(head.outputs))))
    }
    if let pooling { entries.append(("\(architecture).pooling_type", .uint32(pooling))) }
    return entries
  }
}
