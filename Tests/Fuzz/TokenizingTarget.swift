import TinctureCore
import TinctureText

extension FuzzTarget {
  /// Texts for tokenizers of every kind. What must hold: bytes that are no UTF-8 are refused, ids have tokens, decoded text is
  /// well-formed, streamed text is decoded text, and a byte-level tokenizer gives the text back.
  static let tokenizing = FuzzTarget(
    name: "text",
    seeds: [
      Array("Hb 13,5 g/dl; it's  walking \u{2581}t\n\n<|im_end|> e\u{301} \u{1F937}\u{1F3FD}".utf8),
      Array("[CLS] walking \u{4F60}\u{597D} abcabc ab<unk>\u{A0} 12345 <0x0A>\u{FFFD}".utf8),
    ],
    words: [
      "<|im_end|>", "[PAD]", "<unk>", "\u{2581}", " ", "\n", "'ll", "a\u{328}\u{301}",
      "\u{1F468}\u{200D}",
      "abc", "walking", "\0",
    ],
    memoryFactor: 256, fixedMemory: 1 << 20,
    run: { bytes throws(TinctureError) in
      var outcome = 0
      for (index, kind) in try tokenizers.get().enumerated() {
        let ids: [Int32]
        do throws(TinctureError) {
          ids = try kind.tokenizer.encode(bytes)
        } catch {
          precondition(
            String(validating: bytes, as: UTF8.self) == nil, "well-formed text is refused")
          throw error
        }
        precondition(ids.allSatisfy { kind.tokenizer.text(of: $0) != nil }, "an id without a token")
        let text = kind.tokenizer.decode(ids, skipSpecial: false)
        precondition(String(validating: text, as: UTF8.self) != nil, "the text is not well-formed")
        if kind.givesBack { precondition(text == bytes, "the text does not come back") }
        var decoder = kind.tokenizer.streamingDecoder(skipSpecial: false)
        var streamed: [UInt8] = []
        for id in ids { streamed += decoder.next(id) }
        streamed += decoder.finish()
        precondition(streamed == text, "streamed text differs")
        if ids.count > 8 { outcome |= 1 << index }
      }
      return outcome
    })

  private static let tokenizers = Result { () throws(TinctureError) in
    try [(wordPieceJSON, false), (sentencePieceJSON, false), (wholeByteLevelJSON(), true)].map {
      (text, givesBack) throws(TinctureError) in
      let json = try TokenizerJSON(Array(text.utf8), path: "fuzz")
      let files = TokenizerFiles(folder: "fuzz", json: json)
      return (tokenizer: try Tokenizer(files), givesBack: givesBack)
    }
  }

  /// A byte-level BPE with every byte.
  private static func wholeByteLevelJSON() -> String {
    // GPT-2's visible characters of bytes.
    let bytes = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0x143)
    var entries: [String] = []
    for (id, code) in bytes.enumerated() {
      guard let scalar = Unicode.Scalar(code) else { continue }
      let text = code == 0x22 || code == 0x5C ? "\\\(scalar)" : "\(scalar)"
      entries.append("\"\(text)\":\(id)")
    }
    entries += ["\"ab\":256", "\"abc\":257", "\"\u{120}a\":258"]
    return """
      {"added_tokens":[{"id":259,"content":"<|im_end|>","special":true,"normalized":false}],
      "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},
      "decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{\(entries.joined(separator: ","))},
      "merges":["a b",["ab","c"],["\u{120}","a"]]}}
      """
  }
}
