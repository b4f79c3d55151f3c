import Foundation
import FoundationXML
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Models that do not belong together, and settings that say another use: a verdict and its reports, not an error.
@Suite("Obstacles and settings")
struct ObstacleTests {
  typealias Model = TokenMutationTests.Model

  static let bert = Result { try Model("bert-cased") }

  /// What `verify` says, with its reports.
  private func refused(_ file: String, _ pack: String, _ words: String) throws {
    let folder = try TemporaryFolder()
    let (page, tests) = (folder.path("out.html"), folder.path("out.xml"))
    let result = try Tool.run([
      "verify", file, "--against", pack, "--json", "--report", page, "--junit", tests,
    ])
    #expect(result.status == 1, "\(result.output.prefix(400)) \(result.errors.prefix(400))")
    let json = try object(result)
    #expect(try json.member("passed").bool() == false)
    let verdict = try json.member("verdict").string()
    #expect(verdict.contains("cannot be compared") && verdict.contains(words), "\(verdict)")
    let checks = try json.member("checks").array()
    #expect(try checks.map { try $0.member("key").string() } == ["obstacles"])
    let html = try String(contentsOfFile: page, encoding: .utf8)
    #expect(html.contains("FAIL") && html.contains("cannot be compared"))
    let xml = try Data(contentsOf: URL(fileURLWithPath: tests))
    #expect(XMLParser(data: xml).parse())
    #expect(String(decoding: xml, as: UTF8.self).contains("failures=\"1\""))
    let dry = try Tool.run(["verify", file, "--against", pack, "--dry-run"])
    #expect(dry.status == 1 && dry.output.contains(words))
  }

  /// BF16 weights of a BF16 checkpoint are copied: the last bit of one is a fault.
  @Test func theLastBitOfACopiedWeight() throws {
    let folder = try TemporaryFolder()
    let file = folder.path("copy.gguf")
    let checkpoint = TinyModels.path("gemma2")
    let made = try Tool.run(["convert", checkpoint, "-o", file, "--type", "bf16"])
    try #require(made.status == 0, "\(made.errors)")
    let words = ["verify", file, "--against", checkpoint, "--json"]
    #expect(try Tool.run(words).status == 0)
    let tensor = try #require(
      GGUFFile.open(file).tensors.first { $0.name == "blk.1.ffn_up.weight" })
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
    bytes[Int(tensor.byteOffset) + 200] ^= 1
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    let result = try Tool.run(words)
    #expect(result.status == 1 && result.output.contains("blk.1.ffn_up.weight"), "\(result.output)")
  }

  @Test func twoReportsInOneFile() throws {
    let folder = try TemporaryFolder()
    let page = folder.path("a.html")
    let result = try Tool.run([
      "verify", TinyModels.path("llama"), "--against", TinyModels.path("llama"), "--report", page,
      "--junit", page, "--force",
    ])
    #expect(result.status == 2 && result.errors.contains("name one file"), "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: page))
  }

  @Test("another number of tokens, against a pack and against a checkpoint")
  func vocabulary() throws {
    let gemma = try TokenMutationTests.gemma.get()
    let llama = try TokenMutationTests.llama.get()
    try refused(gemma.file, llama.pack, "tokens, in the reference ")
    try refused(gemma.file, llama.checkpoint, "tokens, in the reference ")
  }

  @Test("other tokens")
  func tokens() throws {
    let llama = try TokenMutationTests.llama.get()
    let path = try llama.edited { bytes in
      try TokenMutationTests.swapStrings(300, of: "tokenizer.ggml.tokens", &bytes)
    }
    try refused(path, llama.pack, "other tokens than the reference's")
  }

  @Test("an encoder and a decoder")
  func kind() throws {
    try refused(
      try Self.bert.get().file, try TokenMutationTests.llama.get().pack, "gives hidden states")
  }

  @Test("a broken pack is an error still")
  func broken() throws {
    let gemma = try TokenMutationTests.gemma.get()
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: gemma.pack)))
    bytes[bytes.count / 2] ^= 0xff
    let path = gemma.folder.path("broken.pack")
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    #expect(try Tool.run(["verify", gemma.file, "--against", path]).status == 3)
  }

  /// The only check that fails, and what it says.
  private func failed(_ json: JSON) throws -> [String: String] {
    var failed: [String: String] = [:]
    for check in try json.member("checks").array() where try !check.member("passed").bool() {
      let detail = try check.member("detail")
      failed[try check.member("key").string()] =
        detail.kind == .null ? "" : try detail.string()
    }
    return failed
  }

  @Test("a shorter context than the reference's is a setting that differs")
  func context() throws {
    let gemma = try TokenMutationTests.gemma.get()
    let path = try gemma.edited { bytes in
      try MutationTests.set("gemma3.context_length", to: 96, &bytes)
    }
    let (result, json) = try gemma.verdict(path)
    #expect(result.status == 1)
    let failed = try failed(json)
    #expect(failed.keys.sorted() == ["settings"], "\(failed)")
    #expect(failed["settings"]?.contains("context length 96 in place of ") == true, "\(failed)")
    // One that the prompts do not fit into keeps the two from being compared.
    let short = try gemma.edited { bytes in
      try MutationTests.set("gemma3.context_length", to: 8, &bytes)
    }
    let told = try gemma.verdict(short)
    #expect(told.result.status == 1)
    #expect(try told.json.member("verdict").string().contains("cannot be compared"))
  }

  @Test("an encoder that says of itself to be causal is told")
  func causal() throws {
    let bert = try Self.bert.get()
    let good = try bert.verdict(bert.file)
    #expect(good.result.status == 0, "\(good.result.output.prefix(600))")
    let path = try bert.edited { bytes in
      // A bool is one byte behind the type.
      let key = Array("bert.attention.causal".utf8)
      let place = try #require(
        bytes.indices.first { bytes[$0] == key[0] && bytes[$0...].starts(with: key) })
      bytes[place + key.count + 4] = 1
    }
    let (result, json) = try bert.verdict(path)
    #expect(result.status == 1)
    let failed = try failed(json)
    #expect(
      failed["settings"]?.contains("attention causal in place of bidirectional") == true,
      "\(failed)")
    #expect(failed.count == 1, "llama.cpp computes it both ways: \(failed)")
  }

  @Test("a file that is judged by wider limits because of the engine's activation says so")
  func activation() throws {
    let bert = try Self.bert.get()
    let (_, json) = try bert.verdict(bert.file)
    #expect(try json.member("tolerance").string() == "f16")
    let notes = try json.member("notes").array().map { try $0.string() }
    #expect(notes.contains { $0.contains("another form of the activation") }, "\(notes)")
    // The file against a pack of itself: nothing differs.
    let own = bert.folder.path("own.pack")
    try bert.run(["record", bert.file, "--prompts", bert.prompts, "-o", own])
    let same = try bert.verdict(bert.file, against: [own]).json
    #expect(try same.member("tolerance").string() == "f32")
    #expect(try same.member("passed").bool())
  }

  @Test("a pack that knows nothing of the weights says so")
  func unknown() throws {
    let gemma = try TokenMutationTests.gemma.get()
    let notes = try gemma.verdict(gemma.file).json.member("notes").array().map { try $0.string() }
    #expect(notes.contains { $0.contains("knows nothing of the model's weights:") }, "\(notes)")
  }
}
