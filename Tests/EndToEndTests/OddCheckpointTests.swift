import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Folders as people have them: told apart from what they look like, or refused with what is missing.
@Suite struct OddCheckpointTests {
  private func failure(_ result: Tool.Result) throws -> (code: String, error: JSON) {
    let error = try object(result).member("error")
    return (try error.member("code").string(), error)
  }

  private func inspect(_ path: String, _ words: String...) throws -> Tool.Result {
    try Tool.run(["inspect", path, "--json"] + words)
  }

  /// Writes the checkpoint and quantizes it into its own folder.
  private func quantize(_ checkpoint: EditedCheckpoint, _ recipe: String) throws -> Tool.Result {
    try checkpoint.write()
    let output = checkpoint.folder.path("out.gguf")
    return try Tool.run([
      "quantize", checkpoint.path, "-o", output, "--json", "--recipe", recipe,
    ])
  }

  @Test func shardsWithoutTheirIndex() throws {
    let checkpoint = try EditedCheckpoint("llama")
    let halves = [checkpoint.tensors.prefix(5), checkpoint.tensors.dropFirst(5)]
    for (index, half) in halves.enumerated() {
      // The first alone, then both.
      let name = "model-0000\(index + 1)-of-00002.safetensors"
      try EditedCheckpoint.safetensors(Array(half)).write(
        to: URL(fileURLWithPath: checkpoint.folder.path(name)))
      let (code, error) = try failure(inspect(checkpoint.path))
      #expect(code == "checkpoint.noIndex")
      let missing = checkpoint.folder.path("model.safetensors.index.json")
      #expect(try error.member("place").member("file").string() == missing)
      #expect(try error.member("expected").string().contains("2 shards"))
    }
  }

  /// A special token that no vocabulary has would get an id without a row in the library.
  @Test(arguments: ["bos", "eos", "pad"], ["tokenizer_config.json", "special_tokens_map.json"])
  func aSpecialTokenThatDoesNotExist(role: String, file: String) throws {
    let checkpoint = try EditedCheckpoint("llama")
    try checkpoint.write()
    let key = "\(role)_token"
    for name in ["tokenizer_config.json", "special_tokens_map.json"]
    where FileManager.default.fileExists(atPath: checkpoint.folder.path(name)) {
      try checkpoint.set([key: nil], file: name)
    }
    if FileManager.default.fileExists(atPath: checkpoint.folder.path(file)) {
      try checkpoint.set([key: #""<|nowhere|>""#], file: file)
    } else {
      try checkpoint.write(#"{"\#(key)": "<|nowhere|>"}"#, to: file)
    }
    let result = try inspect(checkpoint.path)
    #expect(result.status == 3, "\(result.output)")
    let (code, error) = try failure(result)
    #expect(code == "tokenizer.specialToken")
    #expect(try error.member("found").string() == "\"<|nowhere|>\"")
    #expect(try error.member("place").member("file").string() == checkpoint.folder.path(file))
    #expect(try error.member("place").member("key").string() == key)
    // The library's own tokenizer says the same.
    let ids = try Tool.run(["tokenize", checkpoint.path, "a"])
    #expect(ids.status == 3 && ids.errors.contains("tokenizer.specialToken"), "\(ids.errors)")
  }

  @Test func anUnknownMaskTokenIsTold() throws {
    let checkpoint = try EditedCheckpoint("llama")
    try checkpoint.write()
    try checkpoint.set(["mask_token": #""<|nowhere|>""#], file: "tokenizer_config.json")
    let result = try inspect(checkpoint.path)
    #expect(result.status == 0, "\(result.output)")
    #expect(result.output.contains("names the mask token"))
  }

  @Test func anAdapterBesideTheWeightsIsTold() throws {
    let checkpoint = try EditedCheckpoint("llama")
    try checkpoint.write()
    try checkpoint.write("{}", to: "adapter_config.json")
    try EditedCheckpoint.safetensors([]).write(
      to: URL(fileURLWithPath: checkpoint.folder.path("adapter_model.safetensors")))
    let result = try inspect(checkpoint.path)
    #expect(result.status == 0, "\(result.output)")
    let notes = try object(result).member("notes").array().map { (note) throws in
      try note.string()
    }
    #expect(
      notes.contains { $0.contains("adapter_model.safetensors") && $0.contains("not merged") })
  }

  @Test(arguments: [
    ("[]", "generation_config.type"), ("7", "generation_config.type"),
    (#"{"top_k": "40"}"#, "generationConfig.type"), (#"{"top_k": 1e3}"#, "generationConfig.type"),
    (#"{"top_k": 3000000000}"#, "generationConfig.range"),
    (#"{"temperature": "0.7"}"#, "generationConfig.type"),
    (#"{"temperature": 1e300}"#, "generationConfig.range"),
    (#"{"do_sample": "yes"}"#, "generationConfig.type"),
    (#"{"top_k": -5}"#, "generationConfig.range"),
    (#"{"eos_token_id": "</s>"}"#, "generation_config.type"),
  ])
  func generationSettingsOfTheWrongKind(text: String, code: String) throws {
    let checkpoint = try EditedCheckpoint("llama")
    try checkpoint.write()
    try checkpoint.write(text, to: "generation_config.json")
    let result = try inspect(checkpoint.path)
    #expect(result.status == 3, "\(result.output)")
    #expect(try failure(result).code == code)
  }

  @Test func aTemplateFileThatIsNoObject() throws {
    let checkpoint = try EditedCheckpoint("llama")
    try checkpoint.write()
    try checkpoint.write("[]", to: "chat_template.json")
    let result = try inspect(checkpoint.path)
    #expect(result.status == 3, "\(result.output)")
    #expect(try failure(result).code == "chat_template.type")
  }

  /// 64-bit weights: told, and refused where single precision does not reach.
  @Test func doublePrecision() throws {
    var checkpoint = try EditedCheckpoint("llama")
    let index = try #require(checkpoint.index("layers.1.mlp.up_proj.weight"))
    let shape = checkpoint.tensors[index].shape
    var values = (0..<shape[0] * shape[1]).map { Double($0) * 0x1p-20 }
    func write() throws {
      checkpoint.tensors[index].type = "F64"
      checkpoint.tensors[index].bytes = values.flatMap { value in
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
      }
      try checkpoint.write()
    }
    try write()
    let output = checkpoint.folder.path("out.gguf")
    let words = ["convert", checkpoint.path, "-o", output, "--json", "--type", "f32"]
    let good = try Tool.run(words)
    #expect(good.status == 0, "\(good.output)")
    #expect(good.output.contains("1 tensor is F64 in the source and passes through F32"))
    values[shape[1] + 2] = 1e39
    try write()
    for more in [[], ["--allow-nonfinite"]] {
      let bad = try Tool.run(words + ["--force"] + more)
      #expect(bad.status == 4, "\(bad.output)")
      let (code, error) = try failure(bad)
      #expect(code == "weights.overflow")
      #expect(try error.member("message").string().contains("row 1, column 2"))
      let place = try error.member("place")
      #expect(
        try place.member("file").string() == checkpoint.folder.path("model.safetensors"))
      #expect(
        try place.member("tensor").string()
          == "model.layers.1.mlp.up_proj.weight (blk.1.ffn_up.weight)")
    }
    values[shape[1] + 2] = .infinity
    try write()
    let infinite = try Tool.run(words + ["--force"])
    #expect(try failure(infinite).code == "weights.nonFinite")
  }

  /// Errors about weights name tensor and row as the checkpoint has them, whatever becomes of them in the file.
  @Test(arguments: [
    ("layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight", "q4_0"),
    ("layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight", "f16"),
    ("layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight", "bf16"),
    ("layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", "bf16"),
    ("layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight", "q8_0"),
    ("layers.0.input_layernorm.weight", "blk.0.attn_norm.weight", "q8_0"),
  ]) func brokenWeightsHaveTheirOwnName(name: String, target: String, recipe: String) throws {
    var checkpoint = try EditedCheckpoint("llama")
    let index = try #require(checkpoint.index(name))
    let tensor = checkpoint.tensors[index]
    let row = tensor.shape.count > 1 ? 1 : 0
    let width = tensor.shape[tensor.shape.count - 1]
    let bytes = tensor.bytes.count / tensor.shape.reduce(1, *)
    let at = (row * width + 3) * bytes
    checkpoint.tensors[index].bytes[at + bytes - 1] = 0x7F
    checkpoint.tensors[index].bytes[at + bytes - 2] = 0xC0
    let result = try quantize(checkpoint, recipe)
    #expect(result.status == 3, "\(result.output)")
    let (code, error) = try failure(result)
    #expect(code == "weights.nonFinite")
    let place = try error.member("place")
    #expect(try place.member("tensor").string() == "\(tensor.name) (\(target))")
    #expect(try place.member("file").string() == checkpoint.folder.path("model.safetensors"))
    #expect(try error.member("message").string().contains("row \(row), column 3 "))
  }

  /// What BF16 cannot hold is F32's, whichever recipe met it.
  @Test(arguments: [
    ("bf16", Float(3.4e38), "choose F32"), ("q8_0", 3.4e38, "choose F32"),
    ("q8_0", 3e38, "choose BF16 or F32"), ("f16", 1e6, "choose BF16 or F32"),
    ("f16", -3.4e38, "choose F32"),
  ]) func overflowAdvice(recipe: String, value: Float, advice: String) throws {
    var checkpoint = try EditedCheckpoint("gemma3-scale")
    let index = try #require(checkpoint.index("layers.1.mlp.up_proj.weight"))
    let large = withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    checkpoint.tensors[index].bytes.replaceSubrange(0..<4, with: large)
    let result = try quantize(checkpoint, recipe)
    #expect(result.status == 4, "\(result.output)")
    let (code, error) = try failure(result)
    #expect(code == "weights.overflow")
    #expect(try error.member("advice").string().hasPrefix(advice), "\(result.output)")
  }

  @Test func overflowNamesItsFile() throws {
    var checkpoint = try EditedCheckpoint("gemma3-scale")
    let index = try #require(checkpoint.index("layers.1.mlp.up_proj.weight"))
    #expect(checkpoint.tensors[index].type == "F32")
    let large = withUnsafeBytes(of: Float(1e6).bitPattern.littleEndian) { Array($0) }
    checkpoint.tensors[index].bytes.replaceSubrange(0..<4, with: large)
    try checkpoint.write()
    let result = try Tool.run([
      "convert", checkpoint.path, "-o", checkpoint.folder.path("out.gguf"), "--json", "--type",
      "f16",
    ])
    #expect(result.status == 4)
    let (code, error) = try failure(result)
    #expect(code == "weights.overflow")
    #expect(
      try error.member("place").member("file").string()
        == checkpoint.folder.path("model.safetensors"))
  }

  /// BERT's own tokens: llama.cpp takes fixed ids for those that are missing.
  @Test(arguments: ["[CLS]", "[SEP]", "[UNK]"]) func vocabularyWithoutAStandardToken(name: String)
    throws
  {
    let checkpoint = try EditedCheckpoint("bert-vocabulary")
    try checkpoint.write()
    #expect(try inspect(checkpoint.path).status == 0)
    let text = try String(contentsOfFile: checkpoint.folder.path("vocab.txt"), encoding: .utf8)
    try checkpoint.write(
      text.replacingOccurrences(of: name + "\n", with: "[other]\n"), to: "vocab.txt")
    let result = try inspect(checkpoint.path)
    #expect(result.status == 3, "\(result.output)")
    #expect(try failure(result).code == "tokenizer.specialToken")
  }

  /// Settings of tokenizer.json that would give other ids in llama.cpp.
  @Test(arguments: [
    ("qwen3", "model", "end_of_word_suffix", "\"</w>\"", "tokenizer.model"),
    ("qwen3", "model", "continuing_subword_prefix", "\"##\"", "tokenizer.model"),
    ("gemma3-json", "model", "end_of_word_suffix", "\"</w>\"", "tokenizer.model"),
    ("gemma3-json", nil, "normalizer", "null", "tokenizer.preTokenizer"),
  ])
  func settingsThatGiveOtherIDs(
    model: String, inside: String?, key: String, value: String, code: String
  ) throws {
    let checkpoint = try EditedCheckpoint(model)
    try checkpoint.write()
    #expect(try inspect(checkpoint.path).status == 0)
    try checkpoint.set([key: value], inside: inside, file: "tokenizer.json")
    let result = try inspect(checkpoint.path)
    #expect(result.status == 4, "\(result.output)")
    #expect(try failure(result).code == code)
  }

  @Test func bertWithoutAPostProcessor() throws {
    let checkpoint = try EditedCheckpoint("bert-uncased")
    try checkpoint.write()
    #expect(try !inspect(checkpoint.path).output.contains("(no post_processor)"))
    try checkpoint.set(["post_processor": "null"], file: "tokenizer.json")
    let result = try inspect(checkpoint.path)
    #expect(result.status == 0 && result.output.contains("(no post_processor)"))
  }

  /// llama.cpp does not load a file with a pre-tokenizer it does not know.
  @Test func metadataNamesAKnownPreTokenizer() throws {
    let folder = try TemporaryFolder()
    for (name, status) in [("foo", Int32(2)), ("gpt-2", 0)] {
      let result = try Tool.run([
        "convert", TinyModels.path("qwen3"), "-o", folder.path(name), "--json", "--metadata",
        "tokenizer.ggml.pre=\(name)",
      ])
      #expect(result.status == status, "\(result.output)")
      if status == 2 { #expect(try failure(result).code == "tokenizer.preTokenizerName") }
    }
  }

  /// The tokenizer counts against --memory.
  @Test func memoryOfTheTokenizer() throws {
    let checkpoint = try EditedCheckpoint("llama3")
    try checkpoint.write()
    let path = checkpoint.folder.path("tokenizer.json")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    try (text + String(repeating: " ", count: 1 << 20)).write(
      toFile: path, atomically: true, encoding: .utf8)
    #expect(try inspect(checkpoint.path, "--memory", "8M").status == 0)
    let refused = try inspect(checkpoint.path, "--memory", "1M")
    #expect(refused.status == 6, "\(refused.output)")
    #expect(try failure(refused).code == "memory.budget")
  }

  /// A process that may have little address space: an error of its own, not a trap; a thread that cannot start is
  /// done without.
  @Test func littleAddressSpace() throws {
    let checkpoint = try EditedCheckpoint("llama3")
    try checkpoint.write()
    let path = checkpoint.folder.path("tokenizer.json")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    try (text + String(repeating: " ", count: 96 << 20)).write(
      toFile: path, atomically: true, encoding: .utf8)
    let output = checkpoint.folder.path("out.gguf")
    func run(_ kilobytes: Int, _ source: String) throws -> Tool.Result {
      try Tool.run(
        [
          "-c", "ulimit -v \(kilobytes); exec timeout 60 \"$0\" \"$@\"", Tool.path, "quantize",
          source, "-o", output, "--recipe", "q8_0", "--force", "--threads", "2", "--json",
        ], program: "/bin/bash")
    }
    let refused = try run(90_000, checkpoint.path)
    #expect(refused.status == 6, "\(refused.status) \(refused.output)\(refused.errors)")
    #expect(try failure(refused).code == "memory.exhausted")
    #expect(try !names(checkpoint.path).contains { $0.hasPrefix("out.gguf") })
    #expect(try run(400_000, checkpoint.path).status == 0)
    // Enough for one worker, not for another thread's stack.
    for kilobytes in [50_000, 60_000, 70_000] {
      let result = try run(kilobytes, try fixture().source)
      #expect(result.status == 0 || result.status == 6, "\(kilobytes): \(result.errors)")
    }
  }

  /// A checkpoint's GGUF is as good a source as the checkpoint: the same tensors, roles and bytes.
  @Test(arguments: TinyModels.names) func ownFilesAsSources(name: String) throws {
    let folder = try TemporaryFolder()
    let plain = folder.path("plain.gguf")
    #expect(try Tool.run(["convert", TinyModels.path(name), "-o", plain]).status == 0)
    for recipe in ["q8_0", "q4_k_m"] {
      let direct = folder.path("direct.gguf")
      let again = folder.path("again.gguf")
      for (source, output) in [(TinyModels.path(name), direct), (plain, again)] {
        let result = try Tool.run([
          "quantize", source, "-o", output, "--recipe", recipe, "--force",
        ])
        #expect(result.status == 0, "\(result.errors)")
      }
      #expect(try bytes(direct) == (try bytes(again)), "\(recipe)")
    }
  }

  @Test func errorsAboutTensorsNameTheirFile() throws {
    let weights = "model.safetensors"
    func code(_ change: (inout EditedCheckpoint) throws -> Void) throws -> String {
      var checkpoint = try EditedCheckpoint("llama")
      try change(&checkpoint)
      try checkpoint.write()
      let (code, error) = try failure(inspect(checkpoint.path))
      let file = try error.member("place").member("file").string()
      #expect(file == checkpoint.folder.path(weights), "\(code)")
      return code
    }
    let unknown = try code { $0.tensors[0].name = "model.strange.weight" }
    #expect(unknown == "tensors.unknown")
    #expect(
      try code { $0.tensors.removeAll { $0.name.hasSuffix("up_proj.weight") } } == "tensors.missing"
    )
    let twice = try code { checkpoint in
      var copy = checkpoint.tensors[try #require(checkpoint.index("model.norm.weight"))]
      copy.name = "norm.weight"
      checkpoint.tensors.append(copy)
    }
    #expect(twice == "tensors.twice")
    let shape = try code { checkpoint in
      let index = try #require(checkpoint.index("model.norm.weight"))
      checkpoint.tensors[index].shape = [2, 36]
    }
    #expect(shape == "tensors.shape")
    let type = try code { checkpoint in
      let index = try #require(checkpoint.index("model.norm.weight"))
      checkpoint.tensors[index].type = "I16"
    }
    #expect(type == "tensors.type")
    #expect(try code { try $0.set(["num_hidden_layers": "1"]) } == "tensors.layer")
  }

  @Test func editedFormatsAreNamedWhereTheyStand() throws {
    let folder = try TemporaryFolder()
    let formats = folder.path("formats")
    try FileManager.default.copyItem(atPath: Repository.path("formats"), toPath: formats)
    let recipe = formats + "/recipes/q8_0.json5"
    try "{ name: 7 }".write(toFile: recipe, atomically: true, encoding: .utf8)
    let result = try Tool.run(
      ["inspect", TinyModels.path("llama"), "--plan", "q8_0", "--json"],
      environment: ["TINCTURE_FORMATS": formats])
    #expect(try failure(result).error.member("place").member("file").string() == recipe)
  }

  /// Two recipes of one's own may share the number that says "no mix of llama-quantize's".
  @Test func recipesOfOnesOwn() throws {
    let folder = try TemporaryFolder()
    let formats = folder.path("formats")
    try FileManager.default.copyItem(atPath: Repository.path("formats"), toPath: formats)
    for name in ["mine", "yours"] {
      try """
      { name: "\(name)", summary: "a try", fileType: 1024, format: "Q5_0",
        rules: [{ roles: ["ffnDown"], format: "Q8_0" }] }
      """.write(
        toFile: formats + "/recipes/\(name).json5", atomically: true, encoding: .utf8)
    }
    let output = folder.path("out.gguf")
    let result = try Tool.run(
      ["quantize", try fixture().source, "-o", output, "--recipe", "mine"],
      environment: ["TINCTURE_FORMATS": formats])
    #expect(result.status == 0, "\(result.errors)")
    #expect(try GGUFFile.open(output).value("general.file_type") == .uint32(1024))
  }
}
