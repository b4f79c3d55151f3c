import Foundation
import Testing
import Tincture
import TinctureCore
import TinctureTestSupport

/// What stands in the files that `convert` and `quantize` write.
@Suite struct ExportTests {
  /// Every tensor as llama.cpp's converter wrote it (golden/plans, made by tools/golden/plans.py).
  @Test(arguments: TinyModels.names) func sameBytesAsTheConverter(name: String) throws {
    let golden = try JSON.parse(
      Array(try Repository.contents("golden/plans/\(name).json")), file: name)
    // One plan records that the converter refuses the checkpoint, which is converted here all the same.
    let expected = golden["tensors"]
    if expected == nil { #expect(golden["error"] != nil) }
    let types = try expected?.array().map { (node) throws in try node.member("type").string() }
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let type = (types ?? []).contains("F16") ? "f16" : "bf16"
    let result = try Tool.run(["convert", TinyModels.path(name), "-o", output, "--type", type])
    #expect(result.status == 0, "\(result.errors)")
    let file = try GGUFFile.open(output)
    let written = try tensorBytes(output)
    guard let expected else {
      #expect(!written.isEmpty)
      return
    }
    for tensor in expected.elements {
      let tensorName = try tensor.member("name").string()
      let bytes = try #require(written[tensorName], "\(tensorName) is missing")
      let info = try #require(file.tensors.first { $0.name == tensorName })
      // A query scale that llama.cpp would ignore is folded into these weights: they differ on purpose, and are
      // F32 where 16 bits would round the products.
      let isFolded =
        name == "gemma2-scale" && tensorName.contains("attn_q.")
        || name == "gemma3-scale" && tensorName.contains("attn_q_norm.")
      let type = isFolded ? "F32" : try tensor.member("type").string()
      #expect(info.type.description == type, "\(tensorName)")
      let same = Digest.sha256(bytes) == (try tensor.member("sha256").string())
      #expect(same != isFolded, "\(tensorName)")
    }
    #expect(written.count == expected.count)
  }

  @Test func splitHoldsTheSameTensors() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let whole = folder.path("whole.gguf")
    let words = ["quantize", source, "--recipe", "q8_0"]
    #expect(try Tool.run(words + ["-o", whole]).status == 0)
    let split = try Tool.run(
      words + ["-o", folder.path("part.gguf"), "--split-size", "1M", "--json"])
    #expect(split.status == 0, "\(split.output)")
    let outputs = try object(split).member("outputs").array().map { (node) throws in
      try node.member("path").string()
    }
    #expect(outputs.count >= 3)
    #expect(
      try names(folder.path)
        == (outputs.map { ($0 as NSString).lastPathComponent } + ["whole.gguf"]))
    #expect(outputs[0].hasSuffix("part-00001-of-0000\(outputs.count).gguf"))
    #expect(try tensorBytes(outputs[0]) == (try tensorBytes(whole)))
    // A split set is a source too.
    let again = folder.path("again.gguf")
    let joined = try Tool.run(["quantize", outputs[1], "-o", again, "--recipe", "q8_0"])
    #expect(joined.status == 0, "\(joined.errors)")
    #expect(try bytes(again) == (try bytes(whole)))
  }

  @Test func copiesAreCopies() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let result = try Tool.run(["convert", source, "-o", output, "--json"])
    #expect(result.status == 0)
    let plan = try object(result).member("plan")
    #expect(try plan.member("recipe").string() == "bf16")
    for tensor in try plan.member("tensors").array() { #expect(try tensor.member("isCopy").bool()) }
    #expect(try tensorBytes(output) == (try tensorBytes(source)))
  }

  @Test func metadataIsSet() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let result = try Tool.run([
      "quantize", source, "-o", output, "--recipe", "q4_0", "--metadata", "general.name=Ny: a=b",
      "--metadata", "general.tags:str[]=medical,small", "--metadata", "mine.answer:u8=42",
      "--metadata=tokenizer.chat_template={{ messages }}",
    ])
    #expect(result.status == 0, "\(result.errors)")
    let file = try GGUFFile.open(output)
    #expect(file.value("general.name") == .string("Ny: a=b"))
    let tags = ByteStrings([Array("medical".utf8), Array("small".utf8)])
    #expect(file.value("general.tags") == .array(.strings(tags)))
    #expect(file.value("mine.answer") == .uint8(42))
    #expect(file.value("tokenizer.chat_template") == .string("{{ messages }}"))
    #expect(file.value("general.file_type") == .uint32(2))
    #expect(file.value("general.quantization_version") == .uint32(2))
  }

  @Test(arguments: [
    ("general.architecture=bert", "metadata.structural"),
    ("llama.block_count:u32=7", "metadata.structural"),
    ("split.count:u16=2", "metadata.structural"),
    ("general.alignment:u32=64", "metadata.structural"), ("noequals", "metadata.syntax"),
    ("a:u8=300", "metadata.value"), ("a:f32=nan", "metadata.value"), ("a:many=1", "metadata.type"),
    ("Big Key=1", "metadata.key"), ("=1", "metadata.key"),
    ("general.type=adapter", "metadata.structural"), ("general.name:u32=4", "metadata.keyType"),
    ("tokenizer.ggml.bos_token_id:str=1", "metadata.keyType"),
    ("tokenizer.ggml.bos_token_id:u64=1", "metadata.keyType"),
    ("tokenizer.ggml.bos_token_id=first", "metadata.value"),
    ("tokenizer.ggml.add_bos_token=1", "metadata.value"),
    ("general.sampling.top_k:str=40", "metadata.keyType"),
    ("general.sampling.temp=hot", "metadata.value"),
    ("general.base_model.0.name:u8=1", "metadata.keyType"),
    ("tokenizer.chat_template.tools:u8=1", "metadata.keyType"),
  ])
  func metadataRefused(words: String, code: String) throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let result = try Tool.run([
      "quantize", source, "-o", folder.path("out.gguf"), "--recipe", "q8_0", "--json",
      "--metadata=" + words,
    ])
    #expect(result.status == 2, "\(result.output)")
    #expect(try object(result).member("error").member("code").string() == code)
    #expect(try names(folder.path) == [])
  }

  /// A known key needs no type and takes the one that engines read; ids are held against the vocabulary.
  @Test func knownKeysHaveTheirTypes() throws {
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let words = ["convert", TinyModels.path("gemma3"), "-o", output, "--force", "--json"]
    let result = try Tool.run(
      words + [
        "--metadata", "general.sampling.top_k=40", "--metadata", "general.sampling.temp=0.5",
        "--metadata", "tokenizer.ggml.eot_token_id=5", "--metadata",
        "tokenizer.ggml.add_eos_token=true",
      ])
    #expect(result.status == 0, "\(result.output)")
    let file = try GGUFFile.open(output)
    #expect(file.value("general.sampling.top_k") == .int32(40))
    #expect(file.value("general.sampling.temp") == .float32(0.5))
    #expect(file.value("tokenizer.ggml.eot_token_id") == .uint32(5))
    #expect(file.value("tokenizer.ggml.add_eos_token") == .bool(true))
    guard case .array(let tokens) = file.value("tokenizer.ggml.tokens") else {
      Issue.record("no tokens")
      return
    }
    let beyond = try Tool.run(
      words + ["--metadata", "tokenizer.ggml.bos_token_id=\(tokens.count)"])
    #expect(beyond.status == 2)
    #expect(try object(beyond).member("error").member("code").string() == "metadata.token")
  }

  /// NaN in a later chunk of a tensor: the place is exact, with any number of threads, encoded or copied.
  @Test(arguments: ["q8_0", "bf16", "f16", "q4_k_m"], [1, 7])
  func nonFiniteIsNamed(recipe: String, threads: Int) throws {
    let folder = try TemporaryFolder()
    var model = SyntheticModel()
    model.poison = ("token_embd.weight", 777, 13)
    let source = folder.path("source.gguf")
    try model.write(to: source)
    let words = [
      "quantize", source, "-o", folder.path("out.gguf"), "--recipe", recipe, "--threads",
      "\(threads)", "--json",
    ]
    let result = try Tool.run(words)
    #expect(result.status == 3, "\(result.output)")
    let error = try object(result).member("error")
    #expect(try error.member("code").string() == "weights.nonFinite")
    #expect(try error.member("place").member("tensor").string() == "token_embd.weight")
    #expect(try error.member("place").member("file").string() == source)
    #expect(try error.member("message").string().contains("row 777, column 13"))
    #expect(try names(folder.path) == ["source.gguf"])
    let allowed = try Tool.run(words + ["--allow-nonfinite"])
    let isFloat = recipe == "bf16" || recipe == "f16"
    #expect(allowed.status == (isFloat ? 0 : 3), "\(allowed.output)")
    guard isFloat else { return }
    let stored = try #require(try tensorBytes(folder.path("out.gguf"))["token_embd.weight"])
    let index = (777 * model.width + 13) * 2
    let bits = UInt16(stored[index]) | UInt16(stored[index + 1]) << 8
    let mask: UInt16 = recipe == "bf16" ? 0x7F80 : 0x7C00
    #expect(bits & mask == mask && bits & (mask >> 1 & ~mask | 0x7F) != 0, "NaN stays NaN")
  }

  @Test func smallMemory() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let words = ["quantize", source, "-o", folder.path("out.gguf"), "--recipe", "q8_0", "--json"]
    let refused = try Tool.run(words + ["--memory", "100K"])
    #expect(refused.status == 6, "\(refused.output)")
    #expect(try object(refused).member("error").member("code").string() == "memory.budget")
    #expect(try names(folder.path) == [])
    let limit = 2 << 20
    let small = try Tool.run(words + ["--memory", "2M", "--threads", "7"])
    #expect(small.status == 0, "\(small.output)")
    #expect(try object(small).member("bufferByteCount").int() <= limit)
  }

  @Test func inspectionCountsEverything() throws {
    let source = try fixture().source
    let result = try Tool.run(["inspect", source, "--json", "--tensors", "--plan", "q4_k_m"])
    #expect(result.status == 0, "\(result.output)")
    let report = try object(result)
    let elements = SyntheticModel().tensors.reduce(0) { $0 + $1.shape.elementCount }
    #expect(try report.member("elementCount").int() == elements)
    #expect(
      try report.member("tensors").array().count { _ in true } == SyntheticModel().tensors.count)
    #expect(try report.member("plan").member("tensors").count == SyntheticModel().tensors.count)
    let text = try Tool.run(["inspect", source, "--plan", "q4_k_m"])
    #expect(
      text.output.contains("blk.0.ffn_down.weight") && text.output.contains("bits per weight"))
  }

  @Test func exampleRuns() throws {
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let result = try Tool.run(
      [try fixture().source, output], program: Tool.folder + "/tincture-example")
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.contains("llama: 12 tensors"), "\(result.output)")
    #expect(try GGUFFile.open(output).tensors.count == 12)
  }

  /// The README shows the example program as it is.
  @Test func readmeShowsTheExample() throws {
    let program = String(
      decoding: try Repository.contents("Tests/Example/main.swift"), as: UTF8.self)
    let readme = String(decoding: try Repository.contents("README.md"), as: UTF8.self)
    let body = program.split(separator: "\n", omittingEmptySubsequences: false).dropFirst(2)
      .joined(separator: "\n")
    #expect(readme.contains(body))
  }
}

/// `--importance`: read, used, written down.
@Suite struct ImportanceTests {
  /// An importance matrix in llama-imatrix's form for the matrices of one layer: the first columns count most.
  static func writeMatrix(
    to path: String, width: Int, feedForward: Int, layer: Int = 0, empty: String? = nil
  ) throws {
    var requests: [GGUFLayout.Request] = []
    for (name, columns) in [
      ("attn_q", width), ("attn_k", width), ("attn_v", width), ("attn_output", width),
      ("ffn_gate", width), ("ffn_up", width), ("ffn_down", feedForward),
    ] {
      for (suffix, shape) in [("in_sum2", Shape(1, columns)), ("counts", Shape(1, 1))] {
        requests.append(
          .init(name: "blk.\(layer).\(name).weight.\(suffix)", type: .element(.f32), shape: shape))
      }
    }
    let layout = try GGUFLayout(
      metadata: [
        ("general.type", .string("imatrix")),
        ("imatrix.datasets", .array(.strings(ByteStrings([Array("wiki.txt".utf8)])))),
        ("imatrix.chunk_count", .uint32(3)), ("imatrix.chunk_size", .uint32(512)),
      ], tensors: requests)
    var bytes = layout.header
    for info in layout.tensors {
      bytes += [UInt8](repeating: 0, count: Int(info.byteOffset) - bytes.count)
      for column in 0..<info.shape.elementCount {
        let isEmpty = empty.map { info.name.contains($0) } ?? false
        let weight: Float = isEmpty ? 0 : column < 16 ? 300 : 0.03
        let value: Float = info.name.hasSuffix("counts") ? 3 : weight
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
      }
    }
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  /// The made-up model, and a matrix for it in a folder for outputs.
  private func matrix() throws -> (source: String, folder: TemporaryFolder, matrix: String) {
    let folder = try TemporaryFolder()
    let model = SyntheticModel()
    let matrix = folder.path("some.imatrix.gguf")
    try Self.writeMatrix(to: matrix, width: model.width, feedForward: model.feedForward)
    return (try fixture().source, folder, matrix)
  }

  /// Where nothing is quantized a matrix would be read for nothing: that is said, and not that it is another model's.
  @Test func aMatrixForARecipeOfFloats() throws {
    let (source, folder, matrix) = try matrix()
    let result = try Tool.run([
      "quantize", source, "--recipe", "bf16", "-o", folder.path("out.gguf"), "--importance", matrix,
      "--json",
    ])
    #expect(result.status == 2, "\(result.output)")
    let error = try object(result).member("error")
    #expect(try error.member("code").string() == "importance.unused")
    #expect(try error.member("message").string().contains("bf16 quantizes no tensor"))
    #expect(!FileManager.default.fileExists(atPath: folder.path("out.gguf")))
  }

  @Test func matrixLeadsTheEncoder() throws {
    let (source, folder, matrix) = try matrix()
    let words = ["quantize", source, "--recipe", "q4_0", "--json", "-o"]
    let plain = folder.path("plain.gguf")
    let led = folder.path("led.gguf")
    #expect(try Tool.run(words + [plain]).status == 0)
    let result = try Tool.run(words + [led, "--importance", matrix])
    #expect(result.status == 0, "\(result.output)")
    let file = try GGUFFile.open(led)
    #expect(file.value("quantize.imatrix.file") == .string("some.imatrix.gguf"))
    #expect(file.value("quantize.imatrix.dataset") == .string("wiki.txt"))
    #expect(file.value("quantize.imatrix.entries_count") == .uint32(7))
    #expect(file.value("quantize.imatrix.chunks_count") == .uint32(3))
    let before = try tensorBytes(plain)
    let after = try tensorBytes(led)
    for name in before.keys {
      // The embedding and the head have no row in the matrix, norms are not quantized.
      let isLed = name.hasPrefix("blk.0.") && !name.contains("norm")
      #expect((before[name] != after[name]) == isLed, "\(name)")
    }
    let notes = try object(result).member("notes").array().map { (note) throws in
      try note.string()
    }
    #expect(notes.contains { $0.contains("token_embd.weight") && $0.contains("importance") })
    // The matrix is an input: it is never written over.
    let over = try Tool.run(words + [matrix, "--importance", matrix, "--force"])
    #expect(over.status == 5)
    #expect(try object(over).member("error").member("code").string() == "output.isInput")
  }

  /// Rows that say nothing, and rows for tensors that are not there.
  @Test(arguments: ["q8_0", "q4_0", "q4_k_m", "iq4_xs"]) func rowsOfNoUse(recipe: String) throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let model = SyntheticModel()
    let matrix = folder.path("matrix.gguf")
    try Self.writeMatrix(
      to: matrix, width: model.width, feedForward: model.feedForward, empty: "attn_k")
    func run(_ name: String, _ words: String...) throws -> (notes: [String], bytes: [UInt8]?) {
      let output = folder.path(name)
      let result = try Tool.run(
        ["quantize", source, "--recipe", recipe, "--json", "-o", output] + words)
      #expect(result.status == 0, "\(result.output)")
      let notes = try object(result).member("notes").array().map { (note) throws in
        try note.string()
      }
      return (notes, try tensorBytes(output)["blk.0.attn_k.weight"])
    }
    let led = try run("led.gguf", "--importance", matrix)
    #expect(
      led.notes.contains {
        $0.contains(
          "only zeros for 1 quantized tensor, in which all columns count alike: blk.0.attn_k")
      }, "\(led.notes)")
    // All columns alike: the search may differ from the one without importance, its error hardly.
    _ = try run("plain.gguf")
    let ledError = try squaredError(of: folder.path("led.gguf"), source, folder)
    let plainError = try squaredError(of: folder.path("plain.gguf"), source, folder)
    #expect(
      ledError > 0 && ledError < 1.02 * plainError, "\(ledError), without importance \(plainError)")
    #expect(!led.notes.contains { $0.contains("does not have") })
    try Self.writeMatrix(to: matrix, width: 1, feedForward: 1, layer: 99)
    let foreign = try Tool.run([
      "quantize", source, "--recipe", recipe, "-o", folder.path("no.gguf"), "--json",
      "--importance", matrix,
    ])
    #expect(foreign.status == 3, "\(foreign.output)")
    let error = try object(foreign).member("error")
    #expect(try error.member("code").string() == "importance.model")
    let quantized = try GGUFFile.open(folder.path("led.gguf")).tensors.first {
      if case .block = $0.type { return true }
      return false
    }
    #expect(try error.member("expected").string() == quantized?.name)
  }

  /// How far the decoded values of `blk.0.attn_k.weight` are from the source's.
  private func squaredError(
    of path: String, _ source: String, _ folder: TemporaryFolder
  ) throws -> Double {
    func floats(_ input: String) throws -> [Float] {
      let output = folder.path("floats.gguf")
      let result = try Tool.run(["quantize", input, "--recipe", "f32", "--force", "-o", output])
      #expect(result.status == 0, "\(result.errors)")
      let bytes = try #require(try tensorBytes(output)["blk.0.attn_k.weight"])
      return bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
    let (found, expected) = (try floats(path), try floats(source))
    #expect(found.count == expected.count && !found.isEmpty)
    return zip(found, expected).reduce(0) { sum, pair in
      let difference = Double(pair.0) - Double(pair.1)
      return sum + difference * difference
    }
  }

  @Test func rowsOfTensorsThatAreNotThere() throws {
    let folder = try TemporaryFolder()
    let matrix = folder.path("imatrix.dat")
    func int(_ value: Int32) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    let model = SyntheticModel()
    let rows: [String] = ["blk.0.attn_q.weight"] + (70..<76).map { "blk.\($0).attn_q.weight" }
    var bytes = int(Int32(rows.count))
    for name in rows {
      bytes += int(Int32(name.utf8.count)) + Array(name.utf8) + int(1) + int(Int32(model.width))
      bytes += [[UInt8]](repeating: [0, 0, 0x80, 0x3F], count: model.width).flatMap { $0 }
    }
    try Data(bytes).write(to: URL(fileURLWithPath: matrix))
    let result = try Tool.run([
      "quantize", try fixture().source, "--recipe", "q4_0", "-o", folder.path("out.gguf"),
      "--importance", matrix,
    ])
    #expect(result.status == 0, "\(result.errors)")
    #expect(
      result.output.contains(
        "rows for 6 tensors that the model does not have; is it of this model? blk.70.attn_q.weight, "
      ), "\(result.output)")
  }

  @Test func matrixOfAnotherModel() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let matrix = folder.path("other.gguf")
    try Self.writeMatrix(to: matrix, width: 64, feedForward: 128)
    let result = try Tool.run([
      "quantize", source, "--recipe", "q4_k_m", "-o", folder.path("out.gguf"), "--json",
      "--importance", matrix,
    ])
    #expect(result.status == 3, "\(result.output)")
    #expect(try object(result).member("error").member("code").string() == "imatrix.rowLength")
    #expect(try names(folder.path) == ["other.gguf"])
  }
}
