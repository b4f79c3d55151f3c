import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Settings that llama.cpp does not follow: written as an equal one, refused, or told.
@Suite struct UnfollowedSettingTests {
  private func copy(_ model: String) throws -> EditedCheckpoint {
    let checkpoint = try EditedCheckpoint(model)
    try checkpoint.write()
    return checkpoint
  }

  private func converted(_ checkpoint: EditedCheckpoint, _ words: String...) throws -> (
    file: GGUFFile, notes: [String]
  ) {
    let output = checkpoint.folder.path("out.gguf")
    let result = try Tool.run(
      ["convert", checkpoint.path, "-o", output, "--force", "--json"] + words)
    #expect(result.status == 0, "\(result.output)")
    let notes = try object(result).member("notes").array().map { (note) throws in
      try note.string()
    }
    return (try GGUFFile.open(output), notes)
  }

  private func refusal(_ path: String, code: String) throws -> JSON {
    let result = try Tool.run(["inspect", path, "--json"])
    #expect(result.status == 4, "\(result.output)")
    let error = try object(result).member("error")
    #expect(try error.member("code").string() == code)
    return error
  }

  private func types(_ kind: String, _ count: Int) -> String {
    "[" + [String](repeating: "\"\(kind)_attention\"", count: count).joined(separator: ",") + "]"
  }

  // MARK: Windows

  /// Gemma 2 cannot be run by llama.cpp without a windowed layer; a window of the whole context is none.
  @Test func gemma2WithoutWindows() throws {
    let checkpoint = try copy("gemma2")
    #expect(try !converted(checkpoint).notes.contains { $0.contains("no layer has a window") })
    try checkpoint.set(["layer_types": types("full", 3)])
    let (file, notes) = try converted(checkpoint)
    let context = try #require(file.value("gemma2.context_length"))
    #expect(file.value("gemma2.attention.sliding_window") == context)
    #expect(file.value("gemma2.attention.sliding_window_pattern") == nil)
    #expect(notes.contains { $0.contains("no layer has a window, and llama.cpp needs one") })
    let verdict = try Tool.run(["verify", file.path, "--against", checkpoint.path])
    #expect(verdict.status == 0, "\(verdict.output)")
  }

  @Test(arguments: ["full", "sliding"]) func embeddingGemmaNeedsBothKinds(kind: String) throws {
    let checkpoint = try copy("embedding-gemma")
    let layers = try converted(checkpoint).file.value("gemma-embedding.block_count")
    guard case .uint32(let count)? = layers else {
      Issue.record("\(String(describing: layers))")
      return
    }
    try checkpoint.set(["layer_types": types(kind, Int(count))])
    let error = try refusal(checkpoint.path, code: "engine.window")
    #expect(try error.member("place").member("key").string() == "layer_types")
    #expect(try error.member("expected").string().contains("one without"))
  }

  /// The same in a file that is converted already.
  @Test func windowsOfAGGUF() throws {
    let checkpoint = try copy("gemma2")
    // A list of flags stands in the file where it is not llama.cpp's own pattern.
    try checkpoint.set([
      "layer_types": "[\"sliding_attention\",\"full_attention\",\"full_attention\"]"
    ])
    let path = try converted(checkpoint).file.path
    var bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    let key = Array("sliding_window_pattern".utf8)
    let place = try #require(
      bytes.indices.first { bytes[$0...].starts(with: key) }, "the pattern is written")
    // Type of the value and of its elements, count, then the flags.
    let flags = place + key.count + 4 + 4 + 8
    #expect(Array(bytes[flags..<flags + 3]) == [1, 0, 0])
    #expect(try Tool.run(["inspect", path]).status == 0)
    bytes[flags] = 0
    let other = checkpoint.folder.path("other.gguf")
    try Data(bytes).write(to: URL(fileURLWithPath: other))
    let error = try refusal(other, code: "engine.window")
    #expect(try error.member("found").string() == "no layer has a window")
  }

  // MARK: Tokenizers

  /// Fields appended to a protobuf message count as if they stood in it.
  private func append(_ bytes: [UInt8], to checkpoint: EditedCheckpoint) throws {
    let url = URL(fileURLWithPath: checkpoint.folder.path("tokenizer.model"))
    try (Data(contentsOf: url) + Data(bytes)).write(to: url)
  }

  @Test(arguments: [
    // trainer_spec 2: model_type 3 = UNIGRAM; treat_whitespace_as_suffix 24. normalizer_spec 3: escape_whitespaces 5.
    ([0x12, 2, 0x18, 1] as [UInt8], "byte_fallback"),
    ([0x12, 3, 0xC0, 0x01, 1], "treat_whitespace_as_suffix"),
    ([0x1A, 2, 0x28, 0], "escape_whitespaces"),
  ])
  func sentencePieceSettings(field: [UInt8], word: String) throws {
    let checkpoint = try copy("llama")
    try checkpoint.remove("tokenizer.json")
    #expect(try Tool.run(["inspect", checkpoint.path]).status == 0)
    try append(field, to: checkpoint)
    let error = try refusal(checkpoint.path, code: "tokenizer.preTokenizer")
    #expect(try error.member("found").string().contains(word))
    _ = try converted(checkpoint, "--pre-tokenizer", "default")
  }

  @Test func runsOfSpaces() throws {
    let checkpoint = try copy("llama")
    try checkpoint.remove("tokenizer.json")
    func isTold() throws -> Bool {
      try converted(checkpoint).notes.contains { $0.contains("remove_extra_whitespaces") }
    }
    try append([0x1A, 2, 0x20, 0], to: checkpoint)
    #expect(try !isTold())
    try append([0x1A, 2, 0x20, 1], to: checkpoint)
    #expect(try isTold())
  }

  /// What the post-processor does not put around a text, transformers does not, whatever the flags say.
  @Test func tokensThatThePostProcessorDoesNotAdd() throws {
    let template = { (pieces: String) in
      "{\"type\":\"TemplateProcessing\",\"single\":[\(pieces){\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
        + "\"pair\":[],\"special_tokens\":{\"<bos>\":{\"id\":\"<bos>\",\"ids\":[2],\"tokens\":[\"<bos>\"]}}}"
    }
    let begin = "{\"SpecialToken\":{\"id\":\"<bos>\",\"type_id\":0}},"
    let checkpoint = try copy("gemma3")
    func flags() throws -> (bos: GGUFValue?, eos: GGUFValue?, notes: [String]) {
      let (file, notes) = try converted(checkpoint)
      return (
        file.value("tokenizer.ggml.add_bos_token"), file.value("tokenizer.ggml.add_eos_token"),
        notes.filter { $0.contains("post-processor") }
      )
    }
    try checkpoint.set(["post_processor": template(begin)], file: "tokenizer.json")
    try checkpoint.set(
      ["add_bos_token": nil, "add_eos_token": nil], file: "tokenizer_config.json")
    var found = try flags()
    #expect(found.bos == .bool(true) && found.eos == nil && found.notes.isEmpty, "\(found)")
    try checkpoint.set(["add_eos_token": "true"], file: "tokenizer_config.json")
    found = try flags()
    #expect(found.eos == .bool(false), "\(found)")
    #expect(found.notes.count == 1 && found.notes[0].hasSuffix("the post-processor counts"))
    try checkpoint.set(["add_eos_token": nil], file: "tokenizer_config.json")
    for text in [template(""), "null"] {
      try checkpoint.set(["post_processor": text], file: "tokenizer.json")
      found = try flags()
      #expect(found.bos == .bool(false), "\(found)")
      #expect(found.notes.count == 1 && found.notes[0].contains("puts no bos token"))
    }
    try checkpoint.set(["post_processor": template(begin + begin)], file: "tokenizer.json")
    found = try flags()
    #expect(found.bos == .bool(true), "\(found)")
    #expect(found.notes.count == 1 && found.notes[0].contains("not added \"<bos>\""))
  }

  @Test func addedTokensThatTransformersDoesNotRead() throws {
    let checkpoint = try copy("qwen2")
    let before = try converted(checkpoint)
    try checkpoint.write(#"{"fever": 404}"#, to: "added_tokens.json")
    let after = try converted(checkpoint)
    #expect(
      before.file.value("tokenizer.ggml.tokens") == after.file.value("tokenizer.ggml.tokens"))
    #expect(after.notes.contains { $0.contains("left out \"fever\" (404)") }, "\(after.notes)")
  }

  /// Beside both files too: transformers reads tokenizer.json there.
  @Test func addedTokensBesideBothFiles() throws {
    var checkpoint = try EditedCheckpoint("gemma3")
    let index = try #require(checkpoint.index("embed_tokens.weight"))
    let (rows, width) = (checkpoint.tensors[index].shape[0], checkpoint.tensors[index].shape[1])
    checkpoint.tensors[index].shape[0] = rows + 2
    checkpoint.tensors[index].bytes += [UInt8](repeating: 0, count: 2 * width * 2)
    try checkpoint.write()
    try checkpoint.set(["vocab_size": "\(rows + 2)"])
    #expect(checkpoint.tensors[index].type == "BF16")
    let before = try converted(checkpoint)
    let url = URL(fileURLWithPath: checkpoint.folder.path("added_tokens.json"))
    let found = try JSONSerialization.jsonObject(with: Data(contentsOf: url))
    var added = try #require(found as? [String: Int])
    #expect(!added.isEmpty)
    added["fever"] = rows + 1
    try JSONSerialization.data(withJSONObject: added).write(to: url)
    let after = try converted(checkpoint)
    #expect(
      before.file.value("tokenizer.ggml.tokens") == after.file.value("tokenizer.ggml.tokens"))
    #expect(
      after.notes.contains {
        $0.contains("has a token that tokenizer.json does not have")
          && $0.contains("left out \"fever\" (\(rows + 1))")
      }, "\(after.notes)")
    // What the vocabulary of tokenizer.json has, though not among its added tokens, is kept.
    let json = URL(fileURLWithPath: checkpoint.folder.path("tokenizer.json"))
    let text = String(decoding: try Data(contentsOf: json), as: UTF8.self)
    let place = try #require(text.range(of: #""vocab":\s*\{"#, options: .regularExpression))
    let more = text.replacingCharacters(
      in: place, with: text[place] + "\"fever\": \(rows + 1),")
    try Data(more.utf8).write(to: json)
    let kept = try converted(checkpoint)
    #expect(!kept.notes.contains { $0.contains("left out \"fever\"") }, "\(kept.notes)")
    guard case .array(.strings(let texts))? = kept.file.value("tokenizer.ggml.tokens") else {
      Issue.record("no tokens")
      return
    }
    #expect(Array(texts[rows + 1]) == Array("fever".utf8))
    // The checkpoint's own tokenizer reads what the file reads.
    let verdict = try Tool.run(["verify", kept.file.path, "--against", checkpoint.path])
    #expect(verdict.status == 0, "\(verdict.output) \(verdict.errors)")
  }

  // MARK: Case and accents of BERT

  private func told(_ checkpoint: EditedCheckpoint, _ words: String...) throws -> Bool {
    try converted(checkpoint).notes.contains { note in words.allSatisfy(note.contains) }
  }

  @Test func caseThatNothingSays() throws {
    let checkpoint = try copy("bert-cased")
    let words = "has no do_lower_case"
    #expect(try !told(checkpoint, words))
    try checkpoint.set(["do_lower_case": nil], file: "tokenizer_config.json")
    #expect(try told(checkpoint, words))
    // With this class transformers takes tokenizer.json whole.
    try checkpoint.set(
      ["tokenizer_class": "\"PreTrainedTokenizerFast\""], file: "tokenizer_config.json")
    #expect(try !told(checkpoint, words))
    try checkpoint.set(["do_lower_case": "true"], file: "tokenizer_config.json")
    let (file, notes) = try converted(checkpoint)
    #expect(file.value("tokenizer.ggml.normalizer.lowercase") == .bool(false))
    #expect(notes.contains { $0.contains("do_lower_case true, tokenizer.json false") })
    // With BERT's own, tokenizer_config.json counts.
    try checkpoint.set(["tokenizer_class": "\"BertTokenizer\""], file: "tokenizer_config.json")
    #expect(
      try converted(checkpoint).file.value("tokenizer.ggml.normalizer.lowercase") == .bool(true))
  }

  @Test func accentsAndChineseCharacters() throws {
    let checkpoint = try copy("bert-uncased")
    #expect(try !told(checkpoint, "strip_accents") && !told(checkpoint, "tokenize_chinese_chars"))
    try checkpoint.set(
      ["strip_accents": nil, "tokenize_chinese_chars": "false"], file: "tokenizer_config.json")
    try checkpoint.set(["strip_accents": "false"], inside: "normalizer", file: "tokenizer.json")
    #expect(try told(checkpoint, "strip_accents false and tokenizer_config.json none"))
    #expect(try told(checkpoint, "tokenize_chinese_chars is off"))
  }

  // MARK: Weights

  /// Half-precision numbers end at 6e-8: a matrix of smaller values comes out as zeros, which is told.
  @Test func valuesTooSmallForTheirType() throws {
    var checkpoint = try EditedCheckpoint("qwen3")
    let index = try #require(checkpoint.index("layers.0.self_attn.q_proj.weight"))
    let count = checkpoint.tensors[index].shape.reduce(1, *)
    checkpoint.tensors[index].type = "F32"
    checkpoint.tensors[index].bytes = (0..<count).flatMap { position in
      let value = Float(position % 7 - 3) * 1e-9
      return withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
    try checkpoint.write()
    let rows = checkpoint.tensors[index].shape[0]
    func notes(_ words: String...) throws -> [String] {
      let result = try Tool.run(
        words + [checkpoint.path, "-o", checkpoint.folder.path("out.gguf"), "--force", "--json"])
      #expect(result.status == 0, "\(result.output)")
      return try object(result).member("notes").array().map { (note) throws in try note.string() }
        .filter { $0.contains("too small for the half-precision") }
    }
    for words in [["convert", "--type", "f16"], ["quantize", "--recipe", "q8_0"]] {
      let found = try notes(words[0], words[1], words[2])
      #expect(
        found.count == 1 && found[0].contains("(blk.0.attn_q.weight): \(rows) of \(rows) rows"),
        "\(found)")
    }
    #expect(try notes("convert", "--type", "bf16").isEmpty)
  }
}
