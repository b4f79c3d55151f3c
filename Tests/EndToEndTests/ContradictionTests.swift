import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport
import TinctureText

/// Two files of one checkpoint that say different things: refused where the model would change, told where one counts.
@Suite struct ContradictionTests {
  private typealias Vocabulary = [String: Any]

  /// Edits `model` of the checkpoint's tokenizer.json.
  private func edit(
    _ checkpoint: EditedCheckpoint, _ change: (inout [String: Any]) throws -> Void
  ) throws {
    let url = URL(fileURLWithPath: checkpoint.folder.path("tokenizer.json"))
    let found = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any]
    var root = try #require(found)
    var model = try #require(root["model"] as? [String: Any])
    try change(&model)
    root["model"] = model
    try JSONSerialization.data(withJSONObject: root).write(to: url)
  }

  private func editVocabulary(
    _ checkpoint: EditedCheckpoint, _ change: (inout Vocabulary) throws -> Void
  ) throws {
    try edit(checkpoint) { model in
      var vocabulary = try #require(model["vocab"] as? Vocabulary)
      try change(&vocabulary)
      model["vocab"] = vocabulary
    }
  }

  private func copy(_ model: String) throws -> EditedCheckpoint {
    let checkpoint = try EditedCheckpoint(model)
    try checkpoint.write()
    return checkpoint
  }

  private func notes(_ checkpoint: EditedCheckpoint) throws -> [String] {
    let result = try Tool.run(["inspect", checkpoint.path, "--json"])
    #expect(result.status == 0, "\(result.output)")
    return try object(result).member("notes").array().map { (note) throws in try note.string() }
  }

  /// The error of every command that reads the tokenizer.
  private func contradiction(
    _ checkpoint: EditedCheckpoint, code: String = "tokenizer.contradiction"
  ) throws -> JSON {
    let output = checkpoint.folder.path("out.gguf")
    for words in [["convert", checkpoint.path, "-o", output], ["tokenize", checkpoint.path, "a"]] {
      let result = try Tool.run(words)
      #expect(result.status == 3, "\(words): \(result.errors)")
      #expect(result.errors.contains(code), "\(result.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: output))
    let result = try Tool.run(["inspect", checkpoint.path, "--json"])
    #expect(result.status == 3, "\(result.output)")
    let error = try object(result).member("error")
    #expect(try error.member("code").string() == code)
    let file = try error.member("place").member("file").string()
    #expect(file == checkpoint.folder.path("tokenizer.json"))
    return error
  }

  // MARK: tokenizer.model

  @Test func twoTokensChangePlaces() throws {
    let checkpoint = try copy("llama")
    var texts: [Int: String] = [:]
    try editVocabulary(checkpoint) { vocabulary in
      for (text, id) in vocabulary { texts[try #require(id as? Int)] = text }
      vocabulary[try #require(texts[400])] = 401
      vocabulary[try #require(texts[401])] = 400
    }
    let error = try contradiction(checkpoint)
    #expect(try error.member("message").string().contains("token 400"))
    let expected = try error.member("expected").string()
    #expect(expected == "\"\(texts[400] ?? "")\", as in tokenizer.model")
    let found = try error.member("found").string()
    #expect(found == "\"\(texts[401] ?? "")\"; 2 ids differ")
    #expect(try error.member("advice").string().contains("llama.cpp's converter tokenizer.model"))
  }

  @Test func aTrainedTokenThatOneFileLacks() throws {
    let less = try copy("llama")
    // A piece that no merge names, of a byte that is no text.
    try editVocabulary(less) { $0["<0xC3>"] = nil }
    let lacking = try contradiction(less)
    #expect(try lacking.member("expected").string() == "\"<0xC3>\", as in tokenizer.model")
    #expect(try lacking.member("found").string() == "no such token")
    let more = try copy("llama")
    try editVocabulary(more) { $0["trained"] = 420 }
    let extra = try contradiction(more)
    #expect(try extra.member("expected").string() == "no such token, as in tokenizer.model")
    #expect(try extra.member("found").string() == "\"trained\"")
  }

  /// Added tokens beyond the trained ones, and spare ones renamed by an added token or in one file alone.
  @Test func addedAndSpareTokensPass() throws {
    let added = try copy("llama")
    try editVocabulary(added) { $0["<|added|>"] = 420 }
    try added.write(#"{"<|added|>": 420}"#, to: "added_tokens.json")
    #expect(try notes(added).contains { $0.contains("no row in the embedding") })
    let renamed = try copy("gemma3")
    let url = URL(fileURLWithPath: renamed.folder.path("tokenizer.json"))
    let text = String(decoding: try Data(contentsOf: url), as: UTF8.self)
    try Data(text.replacingOccurrences(of: "<unused1>", with: "<finding>").utf8).write(to: url)
    try renamed.set(["added_tokens_decoder": "{}"], file: "tokenizer_config.json")
    let told = try notes(renamed)
    #expect(told.contains { $0.contains("1 pieces of tokenizer.model are renamed") }, "\(told)")
    #expect(told.contains { $0.contains("<unused1> → <finding>") }, "\(told)")
    let alone = try copy("gemma3")
    try edit(alone) { model in
      var vocabulary = try #require(model["vocab"] as? Vocabulary)
      vocabulary["<finding>"] = vocabulary.removeValue(forKey: "<unused2>")
      model["vocab"] = vocabulary
    }
    #expect(
      try notes(alone).contains {
        $0.contains("1 token has another text in tokenizer.model")
          && $0.contains("\"<unused2>\" → \"<finding>\"")
      })
    // A byte written as itself takes the text of a user-defined piece, whose id is then missing, as Gemma's tab.
    let byte = try copy("gemma3")
    try editVocabulary(byte) { $0["\n"] = $0.removeValue(forKey: "<0x0A>") }
    #expect(try notes(byte).contains { $0.contains("in tokenizer.model than in tokenizer.json") })
  }

  private func refusal(_ checkpoint: EditedCheckpoint, _ verb: String = "inspect") throws -> JSON {
    let result = try Tool.run([verb, checkpoint.path, "--json"])
    #expect(result.status == 3, "\(result.output)")
    return try object(result).member("error")
  }

  /// transformers gives an added token whose text `model.vocab` lacks an id of its own.
  @Test func addedTokensInThePlaceOfOthers() throws {
    func rename(_ text: String, file: String) throws -> (EditedCheckpoint, Int) {
      let checkpoint = try copy("gemma3")
      var id = -1
      try editVocabulary(checkpoint) { vocabulary in
        id = try #require(vocabulary[text] as? Int)
      }
      if file == "added_tokens.json" {
        try checkpoint.write(#"{"<think>": \#(id)}"#, to: file)
        return (checkpoint, id)
      }
      try checkpoint.set(
        ["added_tokens_decoder": #"{"\#(id)": {"content": "<think>", "special": true}}"#],
        file: file)
      return (checkpoint, id)
    }
    let files = ["added_tokens.json", "tokenizer_config.json"]
    for (text, file) in [("as", files[0]), ("as", files[1]), ("<unused2>", files[0])] {
      let (checkpoint, id) = try rename(text, file: file)
      let error = try refusal(checkpoint)
      #expect(try error.member("code").string() == "tokenizer.contradiction", "\(text) \(file)")
      #expect(try error.member("message").string().contains("has the id \(id), which belongs"))
      #expect(try error.member("expected").string() == "\"\(text)\", as in tokenizer.model")
      #expect(try error.member("found").string() == "\"<think>\"")
      let place = try error.member("place").member("file").string()
      #expect(place == checkpoint.folder.path(file))
    }
    // tokenizer.model alone: a spare piece may be renamed, a trained one not.
    for (text, isSpare) in [("<unused2>", true), ("as", false), ("<0x41>", false)] {
      let (checkpoint, _) = try rename(text, file: files[1])
      try FileManager.default.removeItem(atPath: checkpoint.folder.path("tokenizer.json"))
      if isSpare {
        #expect(try notes(checkpoint).contains { $0.contains("\(text) → <think>") })
      } else {
        let error = try refusal(checkpoint)
        #expect(try error.member("code").string() == "tokenizer.contradiction")
        #expect(try error.member("expected").string() == "\"\(text)\", as in tokenizer.model")
      }
    }
  }

  /// llama.cpp ends at a text that needs a byte without a piece (looked for by its text, whatever its type).
  @Test func bytesWithoutAPiece() throws {
    func replace(_ text: String, by other: String, in path: String) throws {
      var data = try Data(contentsOf: URL(fileURLWithPath: path))
      let range = try #require(data.range(of: Data(text.utf8)))
      data.replaceSubrange(range, with: Data(other.utf8))
      try data.write(to: URL(fileURLWithPath: path))
    }
    func check(_ error: JSON) throws {
      #expect(try error.member("code").string() == "tokenizer.bytes")
      let expected = try error.member("expected").string()
      #expect(expected == "pieces <0x00> to <0xFF>, of which <0x0B> is the first that is missing")
    }
    for other in ["<0xZZ>", "<0x0b>"] {
      let checkpoint = try copy("llama")
      let output = checkpoint.folder.path("whole.gguf")
      #expect(try Tool.run(["convert", checkpoint.path, "-o", output]).status == 0)
      try FileManager.default.removeItem(atPath: checkpoint.folder.path("tokenizer.json"))
      try replace("<0x0B>", by: other, in: checkpoint.folder.path("tokenizer.model"))
      let result = try Tool.run(["inspect", checkpoint.path, "--json"])
      #expect(result.status == 4, "\(result.output)")
      try check(try object(result).member("error"))
      try replace("<0x0B>", by: other, in: output)
      let words = ["quantize", output, "-o", checkpoint.folder.path("q.gguf"), "--json"]
      let again = try Tool.run(words + ["--recipe", "q8_0"])
      // llama.cpp loads such a file: it is kept as it is, and told.
      #expect(again.status == 0, "\(again.output)")
      let notes = try object(again).member("notes").array().map { try $0.string() }
      #expect(notes.contains { $0.contains("no piece <0x0B>") }, "\(notes)")
    }
    let json = try copy("llama")
    try FileManager.default.removeItem(atPath: json.folder.path("tokenizer.model"))
    try editVocabulary(json) { $0["<0xZZ>"] = $0.removeValue(forKey: "<0x0B>") }
    try check(
      try object(Tool.run(["inspect", json.path, "--json"])).member("error"))
  }

  /// A GGUF whose bytes are typed as text: llama.cpp finds them by their text.
  @Test func bytesOfAnotherType() throws {
    let checkpoint = try copy("llama")
    let output = checkpoint.folder.path("out.gguf")
    #expect(try Tool.run(["convert", checkpoint.path, "-o", output]).status == 0)
    func ids() throws -> String {
      let result = try Tool.run(["tokenize", output, "a\u{6F22}b\n", "--ids"])
      #expect(result.status == 0, "\(result.errors)")
      return result.output
    }
    let before = try ids()
    var data = try Data(contentsOf: URL(fileURLWithPath: output))
    let types = [Int32](repeating: TokenType.byte.rawValue, count: 256)
    let range = try #require(data.range(of: types.withUnsafeBytes { Data($0) }))
    let plain = [Int32](repeating: TokenType.normal.rawValue, count: 256)
    data.replaceSubrange(range, with: plain.withUnsafeBytes { Data($0) })
    try data.write(to: URL(fileURLWithPath: output))
    #expect(try ids() == before)
  }

  /// As transformers' converter of Gemma writes the byte 9 as a tab; the tiny vocabularies have a tab of their own.
  @Test func aByteWrittenAsItself() throws {
    let checkpoint = try copy("llama")
    try editVocabulary(checkpoint) { $0["\u{7}"] = $0.removeValue(forKey: "<0x07>") }
    let told = try notes(checkpoint).filter { $0.contains("another text in tokenizer.model") }
    #expect(told.count == 1 && told[0].contains(#""<0x07>" → "\u{7}""#), "\(told)")
    func ids(_ path: String) throws -> String {
      try Tool.run(["tokenize", path, "a\u{7}b", "--ids"]).output
    }
    #expect(try ids(checkpoint.path) == (try ids(TinyModels.path("llama"))))
    try editVocabulary(checkpoint) { $0["q\u{7}"] = $0.removeValue(forKey: "\u{7}") }
    #expect(try contradiction(checkpoint).member("expected").string().contains("<0x07>"))
  }

  @Test func mergesOutOfTheOrderOfTheScores() throws {
    let checkpoint = try copy("llama")
    #expect(try !notes(checkpoint).contains { $0.contains("merge") })
    try edit(checkpoint) { model in
      var merges = try #require(model["merges"] as? [Any])
      merges.append(merges.removeFirst())
      model["merges"] = merges
    }
    let told = try notes(checkpoint).filter { $0.contains("order of tokenizer.model's scores") }
    #expect(told.count == 1 && told[0].contains("which makes \"he\""), "\(told)")
  }

  @Test func mergesThatAreMissing() throws {
    for model in ["llama", "gemma3"] {
      let checkpoint = try copy(model)
      #expect(try !notes(checkpoint).contains { $0.contains("no merge") })
      var merges: [Any] = []
      var kept: Set<String> = []
      var lost: Set<String> = []
      try edit(checkpoint) { model in
        merges = try #require(model["merges"] as? [Any])
        func made(_ merge: Any) -> String {
          (merge as? [String])?.joined()
            ?? "\(merge)".split(separator: " ", maxSplits: 1).joined()
        }
        let half = merges.count / 2
        kept = Set(merges[..<half].map(made))
        lost = Set(merges[half...].map(made)).subtracting(kept)
        model["merges"] = Array(merges[..<half])
      }
      let told = try notes(checkpoint).filter { $0.contains("no merge in tokenizer.json") }
      #expect(told.count == 1 && told[0].hasPrefix("\(lost.count) pieces"), "\(told)")
      try edit(checkpoint) { $0["merges"] = [Any]() }
      let all = try notes(checkpoint).filter { $0.contains("no merge in tokenizer.json") }
      #expect(all.count == 1 && all != told, "\(all)")
    }
  }

  @Test func textPreparedOtherwise() throws {
    let checkpoint = try copy("llama")
    try edit(checkpoint) { $0["byte_fallback"] = false }
    #expect(try notes(checkpoint).contains { $0.hasPrefix("tokenizer.json has byte_fallback") })
    try edit(checkpoint) { $0["byte_fallback"] = true }
    #expect(try !notes(checkpoint).contains { $0.contains("byte_fallback") })
    func marks() throws -> Bool {
      try !notes(checkpoint).contains { $0.contains("does not write spaces as \u{2581}") }
    }
    #expect(try marks())
    try checkpoint.set(
      ["normalizer": "null", "pre_tokenizer": "null"], file: "tokenizer.json")
    #expect(try !marks())
    try checkpoint.set(
      [
        "pre_tokenizer":
          #"{"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}"#
      ], file: "tokenizer.json")
    #expect(try marks())
  }

  @Test func tokenizersOfDifferentKinds() throws {
    let checkpoint = try copy("llama")
    try edit(checkpoint) { $0["type"] = "WordPiece" }
    let error = try contradiction(checkpoint)
    #expect(try error.member("expected").string() == "BPE, as tokenizer.model")
    #expect(try error.member("found").string() == "WordPiece")
  }

  // MARK: vocab.txt

  private func lines(_ checkpoint: EditedCheckpoint) throws -> [String] {
    let data = try Data(contentsOf: URL(fileURLWithPath: checkpoint.folder.path("vocab.txt")))
    return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  @Test func vocabularyLinesThatDiffer() throws {
    let checkpoint = try copy("bert-uncased")
    let original = try lines(checkpoint)
    var changed = original
    changed.swapAt(300, 310)
    try checkpoint.write(changed.joined(separator: "\n"), to: "vocab.txt")
    let error = try contradiction(checkpoint)
    #expect(try error.member("expected").string() == "\"\(original[310])\", as in vocab.txt")
    #expect(try error.member("found").string() == "\"\(original[300])\"; 2 ids differ")
    try checkpoint.write(original.dropLast().joined(separator: "\n"), to: "vocab.txt")
    let short = try contradiction(checkpoint)
    #expect(try short.member("expected").string() == "no such token, as in vocab.txt")
    try checkpoint.write((original + ["more"]).joined(separator: "\n"), to: "vocab.txt")
    #expect(try contradiction(checkpoint).member("found").string() == "no such token")
  }

  /// An added token of tokenizer.json where vocab.txt has another one.
  @Test func anAddedTokenInThePlaceOfALine() throws {
    for isLast in [false, true] {
      let checkpoint = try copy("bert-uncased")
      let original = try lines(checkpoint)
      let id = isLast ? original.count - 1 : 200
      try editVocabulary(checkpoint) { $0[original[id]] = nil }
      let url = URL(fileURLWithPath: checkpoint.folder.path("tokenizer.json"))
      let found = try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any]
      var root = try #require(found)
      var added = try #require(root["added_tokens"] as? [[String: Any]])
      added.append(["id": id, "content": "other", "special": false])
      root["added_tokens"] = added
      try JSONSerialization.data(withJSONObject: root).write(to: url)
      let error = try contradiction(checkpoint)
      #expect(try error.member("expected").string() == "\"\(original[id])\", as in vocab.txt")
      #expect(try error.member("found").string() == "\"other\"")
      // The same text, or a spare one in its place, is no contradiction.
      var changed = original
      changed[id] = "other"
      try checkpoint.write(changed.joined(separator: "\n"), to: "vocab.txt")
      #expect(try !notes(checkpoint).contains { $0.contains("another text in vocab.txt") })
      changed[id] = "[unused9999]"
      try checkpoint.write(changed.joined(separator: "\n"), to: "vocab.txt")
      #expect(try notes(checkpoint).contains { $0.contains("\"[unused9999]\" → \"other\"") })
    }
  }

  @Test func vocabularyLinesThatAgree() throws {
    let checkpoint = try copy("bert-uncased")
    let before = try notes(checkpoint)
    var original = try lines(checkpoint)
    try checkpoint.write(original.joined(separator: "\r\n") + "\r\n\n", to: "vocab.txt")
    #expect(try notes(checkpoint) == before)
    original[2] = "[radiology]"
    try checkpoint.write(original.joined(separator: "\n"), to: "vocab.txt")
    #expect(
      try notes(checkpoint).contains {
        $0.contains("\"[radiology]\" → \"[unused1]\"") && $0.contains("tokenizer.json counts")
      })
  }

  // MARK: Special tokens

  private func id(_ checkpoint: EditedCheckpoint, _ key: String) throws -> GGUFValue? {
    let output = checkpoint.folder.path("out.gguf")
    let result = try Tool.run(["convert", checkpoint.path, "-o", output, "--force"])
    #expect(result.status == 0, "\(result.errors)")
    return try GGUFFile.open(output).value("tokenizer.ggml.\(key)_token_id")
  }

  /// The ids that llama.cpp's converter writes: those of the texts, when they are added tokens, before config.json's.
  @Test func textAndIDOfASpecialToken() throws {
    let checkpoint = try copy("llama")
    #expect(try !notes(checkpoint).contains { $0.contains("counts") })
    try checkpoint.set(["bos_token_id": "7", "eos_token_id": "[5, 6]"])
    let told = try notes(checkpoint)
    for part in [
      "names \"<s>\" (1) the bos token, config.json has bos_token_id 7: the former counts",
      "names \"</s>\" (2) the eos token, config.json has eos_token_id [5, 6]: the former counts",
    ] {
      #expect(told.contains { $0.contains(part) }, "\(told)")
    }
    #expect(try id(checkpoint, "bos") == .uint32(1))
    #expect(try id(checkpoint, "eos") == .uint32(2))
    #expect(try id(checkpoint, "eot") == .uint32(5))
    // A text that is no added token comes after config.json.
    try checkpoint.set(["pad_token": "\"<0x00>\""], file: "tokenizer_config.json")
    try checkpoint.set(["pad_token_id": "4"])
    let pad = try notes(checkpoint).filter { $0.contains("the pad token") }
    #expect(pad.count == 1 && pad[0].contains("pad_token_id 4: the latter counts"), "\(pad)")
    #expect(try id(checkpoint, "padding") == .uint32(4))
  }

  /// The library puts the post-processor's ids around a text, whatever the vocabulary says.
  @Test func idsOfThePostProcessor() throws {
    let template = try copy("llama")
    func processor(_ id: Int) -> String {
      #"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, "#
        + #"{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": "#
        + #"{"<s>": {"id": "<s>", "ids": [\#(id)], "tokens": ["<s>"]}, "#
        + #""</s>": {"id": "</s>", "ids": [9], "tokens": ["</s>"]}}}"#
    }
    // What the template does not use does not matter.
    try template.set(["post_processor": processor(1)], file: "tokenizer.json")
    _ = try notes(template)
    try template.set(["post_processor": processor(0)], file: "tokenizer.json")
    let error = try contradiction(template)
    #expect(try error.member("message").string().contains("gives \"<s>\" another id"))
    #expect(try error.member("expected").string() == "1, as in the vocabulary")
    #expect(try error.member("found").string() == "0")
    // Nor may it put a token around a text that no file lists.
    let stranger = processor(77).replacing("\"<s>\"", with: "\"<stranger>\"")
    try template.set(["post_processor": stranger], file: "tokenizer.json")
    let unlisted = try contradiction(template, code: "tokenizer.specialToken")
    #expect(try unlisted.member("message").string().contains("puts \"<stranger>\" around a text"))
    #expect(try unlisted.member("found").string() == "id 77")
    let pair = try copy("bert-uncased")
    let ids = try lines(pair).enumerated().filter { ["[SEP]", "[CLS]"].contains($0.element) }
    let separator = try #require(ids.first { $0.element == "[SEP]" }?.offset)
    let classifier = try #require(ids.first { $0.element == "[CLS]" }?.offset)
    for shift in [0, 1] {
      let text =
        #"{"type": "BertProcessing", "sep": ["[SEP]", \#(separator + shift)], "#
        + #""cls": ["[CLS]", \#(classifier)]}"#
      try pair.set(["post_processor": text], file: "tokenizer.json")
      if shift == 0 {
        _ = try notes(pair)
      } else {
        #expect(try contradiction(pair).member("found").string() == "\(separator + 1)")
      }
    }
  }

  /// A name that the vocabulary lacks gives way to the one that it has.
  @Test func anUnknownTokenThatDoesNotExist() throws {
    let checkpoint = try copy("llama")
    try checkpoint.set(["unk_token": #""<unkk>""#], file: "tokenizer_config.json")
    for file in ["special_tokens_map.json", "tokenizer.json", "tokenizer.model"] {
      let told = try notes(checkpoint).filter { $0.contains("unk") }
      #expect(
        told.count == 1
          && told[0].contains("names the unk token \"<unkk>\", which the vocabulary does not have")
          && told[0].hasSuffix("\"<unk>\" of \(file) counts"), "\(told)")
      #expect(try id(checkpoint, "unknown") == .uint32(0))
      if file != "tokenizer.model" {
        try FileManager.default.removeItem(atPath: checkpoint.folder.path(file))
      }
    }
  }

  @Test func negativeIDsOfSpecialTokens() throws {
    let checkpoint = try copy("llama")
    let generation = checkpoint.folder.path("generation_config.json")
    if !FileManager.default.fileExists(atPath: generation) {
      try checkpoint.write("{}", to: "generation_config.json")
    }
    try checkpoint.set(["eos_token_id": "-5", "pad_token_id": "-1"])
    try checkpoint.set(["eos_token_id": "[2, -7]"], file: "generation_config.json")
    let told = try notes(checkpoint).filter { $0.contains("is no token") }
    #expect(
      told == [
        "config.json has eos_token_id -5, which is no token: left out",
        "generation_config.json has eos_token_id -7, which is no token: left out",
      ], "\(told)")
    #expect(try id(checkpoint, "eos") == .uint32(2))
  }

  /// An end that is no token of the vocabulary is left out, and nothing says that generation ends at it.
  @Test func endsBeyondTheVocabulary() throws {
    let checkpoint = try copy("llama")
    try checkpoint.set(["eos_token_id": "500000"], file: "generation_config.json")
    let told = try notes(checkpoint).filter { $0.contains("500000") }
    #expect(
      told.count == 1 && told[0].contains("is not a token") && told[0].hasSuffix("left out"),
      "\(told)")
    try checkpoint.set(["eos_token_id": "[9, 500000]"], file: "generation_config.json")
    #expect(
      try notes(checkpoint).contains {
        $0.contains("eos_token_id 9, the eos token is 2: generation ends at both")
      })
  }

  @Test func listsThatHoldTheTokenAgree() throws {
    let checkpoint = try copy("llama")
    let before = try notes(checkpoint)
    try checkpoint.set(["eos_token_id": "[2]"])
    try checkpoint.set(
      ["eos_token_id": "[2]", "bos_token_id": "1"], file: "generation_config.json")
    #expect(try notes(checkpoint) == before)
  }

  @Test func generationConfigAndTokensMap() throws {
    let checkpoint = try copy("llama")
    try checkpoint.set(["bos_token_id": "9"], file: "generation_config.json")
    try checkpoint.set(["unk_token": "\"<0x01>\""], file: "special_tokens_map.json")
    let told = try notes(checkpoint)
    #expect(
      told.contains {
        $0.contains("generation_config.json has bos_token_id 9, the bos token is 1: the latter")
      }, "\(told)")
    #expect(
      told.contains {
        $0.contains("names \"<unk>\" the unk token, special_tokens_map.json \"<0x01>\": the former")
      }, "\(told)")
  }

  // MARK: Numbers that are left out

  @Test func positionsThatDoNotCount() throws {
    var checkpoint = try EditedCheckpoint("bert-uncased")
    func write(_ values: [Int64]) throws -> [String] {
      checkpoint.tensors.removeAll { $0.name.hasSuffix("position_ids") }
      checkpoint.tensors.append(
        .init(
          name: "embeddings.position_ids", type: "I64", shape: [1, values.count],
          bytes: values.flatMap { value in
            withUnsafeBytes(of: value.littleEndian) { Array($0) }
          }))
      try checkpoint.write()
      return try notes(checkpoint).filter { $0.contains("position_ids") }
    }
    #expect(try write(Array(0..<64)) == [])
    // More than one piece of reading.
    #expect(try write(Array(0..<10_000)) == [])
    let told = try write(Array(0..<9_000) + [7])
    #expect(
      told.count == 1 && told[0].contains("does not count from 0: number 9000 is 7"), "\(told)")
  }

  // MARK: Outputs of earlier runs

  @Test func olderPartsAreTold() throws {
    let folder = try TemporaryFolder()
    let source = try fixture().source
    func run(_ words: String...) throws -> [String] {
      let result = try Tool.run(
        ["quantize", source, "-o", folder.path("it's.gguf"), "--recipe", "q8_0", "--json"] + words)
      #expect(result.status == 0, "\(result.output)")
      return try object(result).member("notes").array().map { (note) throws in try note.string() }
        .filter { $0.contains("earlier run") }
    }
    #expect(try run("--split-size", "1M") == [])
    let first = try names(folder.path)
    #expect(first.count > 2)
    // Names that only look alike.
    for name in ["it's-1-of-2.gguf", "its-00001-of-00009.gguf", "it's-00001-of-00009.txt"] {
      try Data().write(to: URL(fileURLWithPath: folder.path(name)))
    }
    let told = try run("--split-size", "2M", "--force")
    #expect(told.count == 1 && told[0].hasPrefix("\(first.count) parts of an earlier run"))
    let command = try #require(told.first?.components(separatedBy: "not wanted: ").last)
    let shell = try Tool.run(["-c", command], program: "/bin/sh")
    #expect(shell.status == 0, "\(command): \(shell.errors)")
    let left = try names(folder.path)
    #expect(!left.contains { first.contains($0) }, "the command removes them")
    #expect(left.contains { $0.hasPrefix("it's-00001-of-0000") }, "and nothing else")
    #expect(left.count == 3 + Int(try #require(left.compactMap(partCount).max())))
    // The set beside an undivided file, and the other way round.
    #expect(try run("--force").count == 1)
    #expect(try run("--force", "--split-size", "2M").contains { $0.hasPrefix("it's.gguf of an") })
  }

  private func partCount(_ name: String) -> Int? {
    guard let match = name.firstMatch(of: /^it's-\d{5}-of-(\d{5})\.gguf$/) else { return nil }
    return Int(match.1)
  }
}
