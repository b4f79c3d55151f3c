import TinctureCore

/// Which ids llama.cpp counts as ends of generation.
///
/// Source of texts, keys and rules: llama.cpp `src/llama-vocab.cpp`, special_eog_ids.
extension SpecialTokens {
  /// Texts that it takes for an end whatever the metadata say.
  static let knownEnds = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\u{FF5C}end\u{2581}of\u{2581}sentence\u{FF5C}>", "[e~[",
  ]

  /// A part that a token plays where a model fills in the middle of a text, and that ends generation too.
  package enum FillIn: String, Sendable, CaseIterable {
    case padding = "fim_pad"
    case repository = "fim_rep"
    case separator = "fim_sep"

    /// The metadata key of its id.
    package var key: String { "tokenizer.ggml.\(rawValue)_token_id" }

    /// Texts that it is found by where no key names a token.
    var texts: [String] {
      switch self {
      case .padding: ["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]
      case .repository: ["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]
      case .separator: ["<|file_sep|>"]
      }
    }
  }

  /// Ends of other models, by which it tells that a known end is none here.
  private static let markers = ["<|plamo:eos|>"]

  /// Every text that decides.
  static let endTexts = knownEnds + FillIn.allCases.flatMap(\.texts) + markers

  /// The ids after which generation ends.
  ///
  /// Where several tokens have a text of one part of filling in, llama.cpp takes one in the order of a hash table; here it is
  /// the lowest.
  /// - Parameters:
  ///   - named: ids that files name.
  ///   - keepsNamed: whether these stay ends where llama.cpp would have them for ordinary tokens, as the library does.
  ///   - fillIns: what the metadata name; nil where nothing generates (WordPiece).
  ///   - idOf: the id of a text in the vocabulary.
  package static func ends(
    named: [Int], keepsNamed: Bool, fillIns: [FillIn: Int]?, count: Int, idOf: ([UInt8]) -> Int?
  ) -> Set<Int32> {
    let tokens = 0..<count
    func find(_ text: String) -> Int? {
      idOf(Array(text.utf8)).flatMap { tokens.contains($0) ? $0 : nil }
    }
    let given = Set(named.filter(tokens.contains))
    var ends = given.union(knownEnds.compactMap(find))
    for part in fillIns == nil ? [] : FillIn.allCases {
      let id = fillIns?[part].flatMap { tokens.contains($0) ? $0 : nil }
      if let id = id ?? part.texts.compactMap(find).min() { ends.insert(id) }
    }
    func has(_ text: String) -> Bool { find(text).map(ends.contains) ?? false }
    func drop(_ text: String) {
      guard let id = find(text), !keepsNamed || !given.contains(id) else { return }
      ends.remove(id)
    }
    // Vocabularies where these stand for the end of a part and for an ordinary token.
    if has("<|call|>") || has("<|calls|>"), has("<|return|>") || has("<|flush|>") {
      drop("<|end|>")
    }
    if has("<|tool_response>") || markers.contains(where: has) { drop("</s>") }
    return Set(ends.map { Int32(truncatingIfNeeded: $0) })
  }
}
