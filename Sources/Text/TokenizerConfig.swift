import TinctureCore

/// The parts a special token can play.
public enum SpecialRole: String, Sendable, CaseIterable {
  case bos, eos, unk, sep, pad, cls, mask
  /// End of turn and end of message: further tokens that end generation.
  case eot, eom

  /// Roles that tokenizer_config.json and config.json name.
  static let named: [SpecialRole] = [.bos, .eos, .unk, .sep, .pad, .cls, .mask]
}

/// A chat template as a file holds it; ``ChatTemplate`` renders it.
public struct NamedTemplate: Sendable, Hashable {
  public let name: String
  public let text: [UInt8]
}

/// What `tokenizer_config.json` and `special_tokens_map.json` say beside the vocabulary.
public struct TokenizerConfig: Sendable {
  /// Texts of the special tokens, by role.
  public private(set) var names: [SpecialRole: [UInt8]] = [:]
  /// The file that each of ``names`` comes from.
  package private(set) var origins: [SpecialRole: String] = [:]
  /// What special_tokens_map.json says of a role to which tokenizer_config.json gives another text.
  package private(set) var otherNames: [SpecialRole: [UInt8]] = [:]
  /// `additional_special_tokens` and `extra_special_tokens`.
  public private(set) var additionalNames: [[UInt8]] = []
  /// What a chat template finds under `bos_token`, `pad_token` and so on: texts that the files give, empty where
  /// tokenizer_config.json says null. A name that no file has is not here.
  package private(set) var templateTokens: [String: [UInt8]] = [:]
  /// `add_bos_token` and the like.
  public private(set) var addFlags: [SpecialRole: Bool] = [:]
  /// `added_tokens_decoder`.
  public private(set) var addedTokens: [AddedToken] = []
  public private(set) var lowercases: Bool?
  public private(set) var stripsAccents: Bool?
  public private(set) var splitsChineseCharacters: Bool?
  public private(set) var addsPrefixSpace: Bool?
  /// Whether `tokenizer_class` is one with which transformers takes tokenizer.json as it stands.
  package private(set) var takesTokenizerJSON = false
  /// `chat_template`: one named "default", or a list; nil when the file has none.
  public private(set) var templates: [NamedTemplate]?

  /// A checkpoint without the file.
  package init() {}

  /// Reads a `tokenizer_config.json`.
  ///
  /// - Throws: `tokenizer_config.*` with byte offset and key path.
  package init(_ bytes: [UInt8], path: String) throws(TinctureError) {
    let root = try JSON.parse(bytes, file: path, code: "tokenizer_config")
    for member in try root.object() where member.value.kind == .null {
      let name = try member.key.string()
      if name.hasSuffix("_token") { templateTokens[name] = [] }
    }
    try readNames(root, path)
    for role in SpecialRole.named {
      addFlags[role] = try root.present("add_\(role.rawValue)_token")?.bool()
    }
    if let decoder = root.present("added_tokens_decoder") {
      for member in try decoder.object() {
        addedTokens.append(
          try AddedToken.read(member.value, id: member.key, origin: "tokenizer_config.json"))
      }
    }
    lowercases = try root.present("do_lower_case")?.bool()
    stripsAccents = try root.present("strip_accents")?.bool()
    splitsChineseCharacters = try root.present("tokenize_chinese_chars")?.bool()
    addsPrefixSpace = try root.present("add_prefix_space")?.bool()
    if let name = root.present("tokenizer_class") {
      takesTokenizerJSON = ["PreTrainedTokenizerFast", "TokenizersBackend"].contains(
        try name.string())
    }
    if let template = root.present("chat_template") {
      templates = try TokenizerConfig.readTemplates(template)
    }
  }

  /// Takes from a `special_tokens_map.json` what the config did not say.
  package mutating func merge(
    specialTokensMap bytes: [UInt8], path: String
  ) throws(TinctureError) {
    let root = try JSON.parse(bytes, file: path, code: "special_tokens_map")
    _ = try root.object()
    try readNames(root, path)
  }

  private mutating func readNames(_ root: JSON, _ path: String) throws(TinctureError) {
    var members = Array(try root.object())
    if let extra = root.present("extra_special_tokens"), extra.kind == .object {
      members += extra.members
    }
    for member in members {
      let (name, value) = (try member.key.string(), member.value)
      guard name.hasSuffix("_token"), templateTokens[name] == nil,
        value.kind == .string || value.kind == .object
      else { continue }
      templateTokens[name] = try TokenizerConfig.content(value)
    }
    for role in SpecialRole.named {
      guard let node = root.present("\(role.rawValue)_token") else { continue }
      let text = try TokenizerConfig.content(node)
      guard !text.isEmpty else { continue }
      if let name = names[role] {
        if name != text { otherNames[role] = text }
        continue
      }
      names[role] = text
      origins[role] = path
    }
    for key in ["additional_special_tokens", "extra_special_tokens"] {
      guard let node = root.present(key) else { continue }
      if node.kind == .object {
        for member in node.members {
          additionalNames.append(try TokenizerConfig.content(member.value))
        }
      } else {
        for element in try node.array() {
          additionalNames.append(try TokenizerConfig.content(element))
        }
      }
    }
  }

  /// A token's text: a string, or an object with `content`.
  private static func content(_ node: JSON) throws(TinctureError) -> [UInt8] {
    node.kind == .object ? try node.member("content").stringBytes() : try node.stringBytes()
  }

  /// A template, or a list of named ones.
  static func readTemplates(_ node: JSON) throws(TinctureError) -> [NamedTemplate] {
    guard node.kind != .string else {
      return [NamedTemplate(name: "default", text: try node.stringBytes())]
    }
    var templates: [NamedTemplate] = []
    for element in try node.array() {
      templates.append(
        NamedTemplate(
          name: try element.member("name").string(),
          text: try element.member("template").stringBytes()))
    }
    return templates
  }
}
