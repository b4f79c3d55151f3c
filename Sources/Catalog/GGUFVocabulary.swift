import TinctureContainers
import TinctureCore

/// The vocabulary of a GGUF file as far as tensors and other keys must agree with it.
struct GGUFVocabulary {
  /// Number of tokens; nil when the file has no vocabulary.
  let tokenCount: Int?

  /// Checks the tokenizer's keys.
  ///
  /// - Parameter decided: keys that the user sets, whose values in the file do not matter.
  /// - Throws: `gguf.metadata` for a mistyped key, lists of another length than the vocabulary, and ids beyond it.
  /// - Complexity: O(keys).
  init(_ keys: GGUFKeys, decided: Set<String>) throws(TinctureError) {
    let listKey = "tokenizer.ggml.tokens"
    switch keys.file.value(listKey) {
    case nil: tokenCount = nil
    case .array(.strings(let tokens)) where tokens.count > 0: tokenCount = tokens.count
    default:
      throw keys.failure(
        listKey, "the vocabulary is no list of tokens", expected: "an array of strings")
    }
    let known = try MetadataTypes.load()
    for (key, _) in keys.file.metadata where key.hasPrefix("tokenizer.") && !decided.contains(key) {
      switch known.kind(of: key) {
      case .token: try checkToken(key, keys)
      case .bool: _ = try keys.optionalFlag(key)
      case .str: _ = try keys.optionalString(key)
      case .u32, .i32, .f32, .strings, nil: break
      }
    }
    guard let tokenCount else { return }
    let model = try keys.string("tokenizer.ggml.model")
    // llama.cpp src/llama-vocab.cpp, llama_vocab::impl::load: the tokenizers it knows, and what a byte-level BPE must have.
    let models = ["llama", "bert", "gpt2", "t5", "rwkv", "plamo2"]
    guard models.contains(model) || decided.contains("tokenizer.ggml.model") else {
      throw keys.failure(
        "tokenizer.ggml.model", "llama.cpp knows no such tokenizer",
        expected: models.joined(separator: ", "))
    }
    if model == "gpt2" {
      if keys.file.value("tokenizer.ggml.merges") == nil {
        throw keys.failure(
          "tokenizer.ggml.merges", "a byte-level BPE without merges", expected: "a list of merges")
      }
      let cut = "tokenizer.ggml.pre"
      if try keys.optionalString(cut) == nil, !decided.contains(cut) {
        throw keys.failure(
          cut, "a byte-level BPE that does not say how text is cut into words",
          expected: "the name of a pre-tokenizer",
          advice: "llama.cpp would take its default; say which one with --metadata \(cut)=NAME")
      }
    }
    // llama.cpp reads as many as there are tokens (src/llama-vocab.cpp, llama_vocab::impl::load).
    try check(keys, "scores", "numbers", tokenCount) { list in
      switch list {
      case .float32(let scores): scores.count
      case .int32(let scores): scores.count
      default: nil
      }
    }
    try check(keys, "token_type", "int32", tokenCount) { list in
      if case .int32(let types) = list { types.count } else { nil }
    }
    if let merges = keys.file.value("tokenizer.ggml.merges") {
      guard case .array(.strings) = merges else {
        throw keys.failure(
          "tokenizer.ggml.merges", "the key has another type", expected: "an array of strings")
      }
    }
  }

  private func checkToken(_ key: String, _ keys: GGUFKeys) throws(TinctureError) {
    guard let id = try keys.optionalInteger(key), let tokenCount, id >= tokenCount else { return }
    throw keys.failure(
      key, "the vocabulary has no such token", expected: "0 to \(tokenCount - 1)",
      advice:
        "llama.cpp would use another token in its place; set the right one with --metadata \(key)=ID"
    )
  }

  private func check(
    _ keys: GGUFKeys, _ name: String, _ items: String, _ tokenCount: Int,
    _ count: (GGUFArray) -> Int?
  ) throws(TinctureError) {
    let key = "tokenizer.ggml." + name
    guard let value = keys.file.value(key) else { return }
    guard case .array(let list) = value, let found = count(list) else {
      throw keys.failure(
        key, "the key has another type", expected: "an array of \(items), one for each token")
    }
    guard found == tokenCount else {
      throw keys.failure(
        key, "the list is not as long as the vocabulary", expected: "\(tokenCount) \(items)")
    }
  }
}
