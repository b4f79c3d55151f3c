import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureParity
import TinctureText

extension TokenizerFacts {
  /// What a bound model's tokenizer is made of; nil when its metadata have no list of tokens.
  ///
  /// The data are those of the metadata, which for a checkpoint are what `convert` would write: both sides of a
  /// conversion then say the same. What is put around a text, and what ends one, is asked of the tokenizer itself,
  /// which for a checkpoint is that of its own files.
  /// - Complexity: linear in the vocabulary; Gemma's 262,144 tokens take about 20 ms.
  init?(_ bound: BoundModel, _ tokenizer: Tokenizer?) {
    func value(_ name: String) -> GGUFValue? {
      bound.metadata.first { $0.key == "tokenizer." + name }?.value
    }
    guard case .array(.strings)? = value("ggml.tokens") else { return nil }
    self.init()
    func text(_ name: String) -> String? {
      guard case .string(let text)? = value(name) else { return nil }
      return text.text
    }
    func flag(_ name: String) -> Bool? {
      guard case .bool(let flag)? = value("ggml." + name) else { return nil }
      return flag
    }
    let model = text("ggml.model")
    self[.model] = model
    self[.pre] = text("ggml.pre") ?? "default"
    switch value("ggml.token_type") {
    case .array(.int32(let types)):
      self[.types] = Self.digest(types.map { UInt32(bitPattern: $0) })
    case .array(.uint32(let types)): self[.types] = Self.digest(types)
    default: break
    }
    switch model {
    case "llama":
      if case .array(.float32(let scores))? = value("ggml.scores") {
        self[.scores] = Self.digest(scores.map(\.bitPattern))
      }
      self[.spacePrefix] = "\(flag("add_space_prefix") ?? true)"
    case "gpt2":
      if case .array(.strings(let merges))? = value("ggml.merges") {
        self[.merges] = Self.digest(merges)
      }
    case "bert":
      let lower = flag("normalizer.lowercase") ?? true
      self[.lowercase] = "\(lower)"
      self[.stripAccents] = "\(flag("normalizer.strip_accents") ?? lower)"
    default: break
    }
    for (key, name) in [
      (Key.bos, "bos"), (.eos, "eos"), (.unk, "unknown"), (.sep, "seperator"), (.pad, "padding"),
      (.cls, "cls"), (.mask, "mask"), (.eot, "eot"), (.eom, "eom"),
    ] {
      self[key] = Self.number(value("ggml.\(name)_token_id"))
    }
    for (key, name) in [(Key.addBOS, "bos"), (.addEOS, "eos"), (.addSEP, "sep")] {
      self[key] = flag("add_\(name)_token").map { "\($0)" }
    }
    if case .string(let template)? = value("chat_template") {
      self[.chatTemplate] = Hexadecimal.text(SHA256.of(template.bytes))
    }
    guard let tokenizer else { return }
    func list(_ ids: [Int32]) -> String { ids.map { "\($0)" }.joined(separator: " ") }
    self[.before] = list(tokenizer.prefix)
    self[.after] = list(tokenizer.suffix)
    self[.ends] = list(tokenizer.endOfGeneration)
    self[.unknown] = tokenizer.unknownID.map { "\($0)" }
  }

  private static func number(_ value: GGUFValue?) -> String? {
    switch value {
    case .uint32(let number): "\(number)"
    case .int32(let number): "\(number)"
    case .uint64(let number): "\(number)"
    case .int64(let number): "\(number)"
    default: nil
    }
  }

  /// SHA-256 over numbers of 32 bits, little-endian.
  private static func digest(_ words: [UInt32]) -> String {
    var hash = SHA256()
    var bytes: [UInt8] = []
    for start in stride(from: 0, to: words.count, by: 1 << 14) {
      bytes.removeAll(keepingCapacity: true)
      for word in words[start..<min(words.count, start + 1 << 14)] {
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
          bytes.append(UInt8(truncatingIfNeeded: word >> shift))
        }
      }
      hash.update(bytes)
    }
    return Hexadecimal.text(hash.finish())
  }

  /// SHA-256 over texts, each as its length (U32, little-endian) and its bytes.
  static func digest(_ texts: ByteStrings) -> String {
    var hash = SHA256()
    var bytes: [UInt8] = []
    for index in 0..<texts.count {
      let text = texts[index]
      for shift in stride(from: 0, to: 32, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: text.count >> shift))
      }
      bytes.append(contentsOf: text)
      if bytes.count > 1 << 16 {
        hash.update(bytes)
        bytes.removeAll(keepingCapacity: true)
      }
    }
    hash.update(bytes)
    return Hexadecimal.text(hash.finish())
  }
}
