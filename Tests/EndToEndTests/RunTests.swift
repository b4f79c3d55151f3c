import Foundation
import Testing
import Tincture
import TinctureCore
import TinctureTestSupport

/// The runtime on files that tincture wrote, and the command `run`.
@Suite struct RunTests {
  /// Outputs of a model for some tokens, by kind.
  static func outputs(
    _ path: String, _ ids: [Int32], _ arithmetic: Arithmetic = .exact
  ) throws -> [OutputKind: (values: [Float], width: Int)] {
    let model = try RuntimeModel(Checkpoint.open(path).bind())
    var found: [OutputKind: (values: [Float], width: Int)] = [:]
    let walk = LayerMajor(
      model, arithmetic: arithmetic, threads: 2, memory: MemoryBudget(limit: 1 << 30))
    try walk.run(sequences: [ids]) { rows in
      found[rows.kind] = (
        found[rows.kind, default: ([], rows.width)].values + Array(rows.values), rows.width
      )
    }
    return found
  }

  /// Squared error over variance of the columns that both have.
  static func distance(
    _ a: (values: [Float], width: Int), _ b: (values: [Float], width: Int)
  ) -> Double {
    let width = min(a.width, b.width)
    var (error, sum, squares, count) = (0.0, 0.0, 0.0, 0.0)
    for row in 0..<a.values.count / a.width {
      for column in 0..<width {
        let x = Double(a.values[row * a.width + column])
        let y = Double(b.values[row * b.width + column])
        error += (x - y) * (x - y)
        sum += x
        squares += x * x
        count += 1
      }
    }
    return error / (squares - sum * sum / count)
  }

  static let tokens: [Int32] = (0..<60).map { Int32(2 + $0 * 37 % 370) }

  /// Names, metadata and tensors of a file say the same as the checkpoint it was made of.
  @Test(arguments: TinyModels.names) func aFileComputesWhatItsCheckpointDoes(name: String) throws {
    let folder = try TemporaryFolder()
    let file = folder.path("out.gguf")
    let made = try Tool.run(["convert", TinyModels.path(name), "-o", file, "--type", "f32"])
    try #require(made.status == 0, "\(made.errors)")
    let checkpoint = try Self.outputs(TinyModels.path(name), Self.tokens)
    let converted = try Self.outputs(file, Self.tokens)
    for kind in [OutputKind.logits, .hidden, .pooled] {
      #expect((checkpoint[kind] == nil) == (converted[kind] == nil))
      guard let a = checkpoint[kind], let b = converted[kind] else { continue }
      let distance = Self.distance(a, b)
      // For BERT llama.cpp computes GELU's tanh form, and so does the runtime for its files.
      if name.hasPrefix("bert") {
        #expect(distance > 1e-12 && distance < 1e-4, "\(kind): \(distance)")
      } else {
        #expect(distance < 1e-12, "\(kind): \(distance)")
      }
    }
  }

  @Test(arguments: ["gemma3", "qwen3", "llama"], ["q8_0", "q4_k_m", "bf16"])
  func aQuantizedFileStaysClose(name: String, recipe: String) throws {
    let folder = try TemporaryFolder()
    let file = folder.path("out.gguf")
    let words = ["quantize", TinyModels.path(name), "-o", file, "--recipe", recipe]
    let made = try Tool.run(words)
    try #require(made.status == 0, "\(made.errors)")
    let checkpoint = try #require(try Self.outputs(TinyModels.path(name), Self.tokens)[.logits])
    let exact = try #require(try Self.outputs(file, Self.tokens)[.logits])
    let engine = try #require(try Self.outputs(file, Self.tokens, .engine)[.logits])
    #expect(Self.distance(checkpoint, exact) < (recipe == "q4_k_m" ? 0.2 : 0.01))
    #expect(Self.distance(exact, engine) < 0.01)
  }

  /// Query, key and value in one tensor, as some files have them, compute the same bits.
  @Test(arguments: ["gemma3", "qwen2"]) func fusedProjectionsAreTheSame(name: String) throws {
    let folder = try TemporaryFolder()
    let plain = folder.path("plain.gguf")
    let made = try Tool.run(["convert", TinyModels.path(name), "-o", plain, "--type", "f32"])
    try #require(made.status == 0, "\(made.errors)")
    let file = try GGUFFile.open(plain)
    let stored = try tensorBytes(plain)
    var requests: [GGUFLayout.Request] = []
    var contents: [String: [UInt8]] = [:]
    for tensor in file.tensors {
      guard let part = ["attn_q.", "attn_k.", "attn_v."].first(where: { tensor.name.contains($0) })
      else {
        requests.append(.init(name: tensor.name, type: tensor.type, shape: tensor.shape))
        contents[tensor.name] = stored[tensor.name]
        continue
      }
      guard part == "attn_q." else { continue }
      let others = ["attn_k.", "attn_v."].map {
        tensor.name.replacingOccurrences(of: part, with: $0)
      }
      let tensors = [tensor] + others.compactMap { name in file.tensors.first { $0.name == name } }
      let rows = tensors.reduce(0) { $0 + $1.shape.dimensions[0] }
      let fused = tensor.name.replacingOccurrences(of: part, with: "attn_qkv.")
      let shape = Shape(checking: [rows] + tensor.shape.dimensions.dropFirst())
      requests.append(.init(name: fused, type: tensor.type, shape: try #require(shape)))
      contents[fused] = tensors.flatMap { stored[$0.name] ?? [] }
    }
    let layout = try GGUFLayout(metadata: file.metadata, tensors: requests)
    var bytes = layout.header
    for tensor in layout.tensors {
      bytes += [UInt8](repeating: 0, count: Int(tensor.byteOffset) - bytes.count)
      bytes += try #require(contents[tensor.name])
    }
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    let target = folder.path("fused.gguf")
    try Data(bytes).write(to: URL(fileURLWithPath: target))
    let apart = try #require(try Self.outputs(plain, Self.tokens)[.logits])
    let together = try #require(try Self.outputs(target, Self.tokens)[.logits])
    #expect(apart.values == together.values)
  }

  // MARK: The command

  static let prompt = "The patient presented with fever."

  @Test func textAndJSONAgreeAndRepeat() throws {
    let words = ["run", TinyModels.path("gemma3"), "-p", Self.prompt, "-n", "12", "--ignore-end"]
    let plain = try Tool.run(words)
    try #require(plain.status == 0, "\(plain.errors)")
    let json = try object(Tool.run(words + ["--json"]))
    #expect(try json.member("text").string() + "\n" == plain.output)
    #expect(try json.member("tokenCount").int() == 12)
    #expect(try json.member("end").equals("count"))
    #expect(try json.member("arithmetic").equals("engine"))
    #expect(try json.member("promptTokenCount").int() > 5)
    #expect(try json.member("secondsToFirstToken").double() > 0)
    let random = words + ["--temp", "1.5", "--top-k", "50", "--top-p", "0.9", "--json", "--seed"]
    func ids(_ seed: String, _ threads: String) throws -> [Int] {
      try object(Tool.run(random + [seed, "--threads", threads])).member("ids").array().map {
        try $0.int()
      }
    }
    #expect(try ids("1", "1") == ids("1", "3"))
    #expect(try ids("1", "1") != ids("2", "1"))
  }

  /// `--context` counts prompt and answer: the last token made is within it.
  @Test func theContextIsNotExceeded() throws {
    let words = [
      "run", TinyModels.path("gemma3"), "-p", "a", "--ignore-end", "--json", "--context",
    ]
    let prompt = try object(Tool.run(words + ["64", "-n", "1"])).member("promptTokenCount").int()
    for room in 0..<4 {
      let json = try object(Tool.run(words + ["\(prompt + room)"]))
      #expect(try json.member("ids").array().count == room, "room for \(room)")
      #expect(try json.member("end").equals("context"))
    }
  }

  @Test func aConversationKeepsWhatItHasComputed() throws {
    let words = ["run", TinyModels.path("gemma3"), "--chat", "-n", "5", "--ignore-end"]
    let result = try Tool.run(words + ["--json"], input: "Fever?\n\nAnd cough?\n")
    try #require(result.status == 0, "\(result.output)")
    let turns = try object(result).member("turns").array().map { $0 }
    #expect(turns.count == 2)
    #expect(
      try turns[1].member("promptTokenCount").int() > turns[0].member("promptTokenCount").int())
    let plain = try Tool.run(words, input: "Fever?\n\nAnd cough?")
    #expect(try plain.output == turns.map { try $0.member("text").string() + "\n" }.joined())
  }

  /// A turn that is not UTF-8 is refused with its place; the turns before it are answered.
  @Test func aTurnThatIsNotUTF8() throws {
    func talk(_ input: String) throws -> Tool.Result {
      try Tool.run(
        [
          "-c", "printf '\(input)' | \"$0\" run \"$1\" --chat -n 2 --ignore-end", Tool.path,
          TinyModels.path("gemma3"),
        ], program: "/bin/bash")
    }
    #expect(try talk("Fi\\303\\251vre?\\r\\n").status == 0)
    for end in ["\\n", "", "\\r\\n"] {
      let result = try talk("Fever?\\n\\nFi\\351vre?\(end)")
      #expect(result.status == 3, "\(result.errors)")
      let words = [
        "standard input, byte 10", "line 3", "byte 0xe9", "convert it to UTF-8", "console.encoding",
      ]
      for word in words { #expect(result.errors.contains(word), "\(word): \(result.errors)") }
      #expect(result.output.hasSuffix("\n"), "\(result.output)")
    }
  }

  @Test func anInterruptEndsAConversation() throws {
    let pipe = Pipe()
    let running = try Tool.start(
      ["run", TinyModels.path("gemma3"), "--chat"], input: pipe.fileHandleForReading)
    Thread.sleep(forTimeInterval: 1)
    running.send(SIGINT)
    let result = try running.finish()
    try pipe.fileHandleForWriting.close()
    #expect(result.status == 130 && !result.wasKilled, "\(result.errors)")
  }

  @Test(
    arguments: [
      (["-p", "a", "--chat"], "argument.conflict"), ([], "argument.missing"),
      (["-p", "a", "--top-k", "5"], "argument.conflict"),
      (["-p", "a", "--temp", "-1"], "sampler.temperature"),
      (["-p", "a", "--temp", "hot"], "argument.number"),
      (["-p", "a", "--arithmetic", "loose"], "argument.choice"),
      (["-p", "a", "--context", "1000"], "runtime.context"),
      (["-p", "a", "--temp=1", "--top-p=0"], "sampler.topP"),
    ] as [([String], String)])
  func wrongWordsAreUsageErrors(words: [String], code: String) throws {
    let result = try Tool.run(["run", TinyModels.path("gemma3"), "--json"] + words)
    #expect(result.status == 2)
    #expect(try object(result).member("error").member("code").equals(code), "\(result.output)")
  }

  @Test func encodersAndBareModelsDoNotTalk() throws {
    let encoder = try Tool.run(["run", TinyModels.path("bert-cased"), "-p", "a"])
    #expect(encoder.status == 4 && encoder.errors.contains("runtime.encoder"))
    let bare = try Tool.run(["run", TinyModels.path("mistral"), "--chat"], input: "a\n")
    #expect(bare.status == 4 && bare.errors.contains("chat.template.missing"), "\(bare.errors)")
  }

  // MARK: Hostile files

  /// A made-up GGUF with other metadata.
  static func model(_ changes: [(key: String, value: GGUFValue?)]) throws -> RuntimeModel {
    let folder = try TemporaryFolder()
    let path = folder.path("model.gguf")
    var model = SyntheticModel.tiny
    model.changes = changes
    try model.write(to: path)
    return try RuntimeModel(Checkpoint.open(path).bind())
  }

  @Test(
    arguments: [
      ("llama.embedding_length", .uint32(63), "gguf.metadata"),
      ("llama.embedding_length", .uint32(0), "gguf.metadata"),
      ("llama.embedding_length", .string("64"), "gguf.metadata"),
      ("llama.embedding_length", nil, "gguf.metadata"),
      ("llama.feed_forward_length", .uint32(127), "tensors.shape"),
      ("llama.feed_forward_length", .array(.uint32([128, 64])), "gguf.metadata"),
      ("llama.attention.head_count", .uint32(4), "gguf.metadata"),
      ("llama.attention.head_count_kv", .uint32(2), "tensors.shape"),
      ("llama.attention.key_length", .uint32(1 << 31), "gguf.metadata"),
      ("llama.attention.key_length", .uint32(16), "gguf.metadata"),
      ("llama.attention.layer_norm_rms_epsilon", nil, "gguf.metadata"),
      ("llama.attention.layer_norm_rms_epsilon", .float32(.nan), "gguf.metadata"),
      ("llama.rope.dimension_count", .uint32(4), "gguf.metadata"),
      ("llama.rope.freq_base", .float32(-1), "gguf.metadata"),
      ("llama.rope.scaling.type", .string("longrope"), "gguf.metadata"),
      ("llama.context_length", nil, "gguf.metadata"),
    ] as [(String, GGUFValue?, String)])
  func metadataThatContradictsTheTensorsIsAnError(
    key: String, value: GGUFValue?, code: String
  ) throws {
    #expect {
      _ = try Self.model([(key, value)])
    } throws: {
      ($0 as? TinctureError)?.code.name == code
    }
  }

  @Test func theMadeUpModelItselfRuns() throws {
    let model = try Self.model([])
    #expect(model.width == 64 && model.vocabularySize == 2304)
  }

  /// A file that is cut while a session works gives an error before the next token.
  @Test func aFileThatIsCutShortIsAnError() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("model.gguf")
    try SyntheticModel.tiny.write(to: path)
    let session = try Session(
      RuntimeModel(Checkpoint.open(path).bind()), arithmetic: .engine, threads: 1,
      memory: MemoryBudget(limit: 1 << 30))
    _ = try session.append([1, 2, 3])
    let handle = try #require(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: 4096)
    #expect {
      _ = try session.append([4])
    } throws: {
      ($0 as? TinctureError)?.code.name == "file.truncated"
    }
  }
}
