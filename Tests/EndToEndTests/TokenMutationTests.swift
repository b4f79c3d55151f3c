import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// A file whose weights are right and whose tokenizer was changed: `verify` must say no.
@Suite("Mutations of the tokenizer")
struct TokenMutationTests {
  static let texts = [
    "The patient was given 40 mg of the drug at 8:30; blood pressure 120/80.",
    "Пациент жалуется на боль. Науқас дәрігерге келді.",
    "Der Befund ist unauffällig. Não há febre. 患者は元気です。",
    "for (i = 0; i < n; i++) { total += values[i]; }\n\n    return total;",
  ]

  /// A file that was right, and packs that it is held against; made once.
  final class Model: Sendable {
    let checkpoint: String
    let folder: TemporaryFolder
    let file: String
    let pack: String
    let prompts: String

    init(_ name: String) throws {
      folder = try TemporaryFolder()
      checkpoint = TinyModels.path(name)
      file = folder.path("good.gguf")
      pack = folder.path("ref.pack")
      prompts = folder.path("prompts.jsonl")
      let lines = TokenMutationTests.texts.map { text in
        String(
          decoding: JSONValue.object([("text", .string(text))]).serialized(pretty: false),
          as: UTF8.self)
      }
      try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: prompts))
      try run(["convert", checkpoint, "-o", file])
      try run(["record", checkpoint, "--prompts", prompts, "-o", pack])
    }

    func run(_ words: [String]) throws {
      let result = try Tool.run(words)
      try #require(result.status == 0, "\(words): \(result.errors)")
    }

    /// A copy with other metadata; weights stay as they are.
    func changed(_ key: String, _ value: String) throws -> String {
      let path = folder.path("changed-\(UInt64.random(in: 0 ... .max)).gguf")
      try run(["convert", file, "-o", path, "--type", "bf16", "--metadata", "\(key)=\(value)"])
      return path
    }

    /// A copy with other bytes.
    func edited(_ edit: (inout [UInt8]) throws -> Void) throws -> String {
      var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
      let before = bytes
      try edit(&bytes)
      #expect(bytes != before)
      let path = folder.path("edited-\(UInt64.random(in: 0 ... .max)).gguf")
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      return path
    }

    func verdict(_ path: String, against: [String]? = nil) throws -> (
      result: Tool.Result, json: JSON
    ) {
      let result = try Tool.run(
        ["verify", path, "--json", "--against"] + (against ?? [pack]))
      return (result, try object(result))
    }
  }

  static let gemma = Result { try Model("gemma3") }
  static let llama = Result { try Model("llama3") }

  /// What was found about one subject: `holds`, `fails`, `differs`, `notChecked`; and its detail.
  static func reading(_ json: JSON, _ subject: String) throws -> (result: String, detail: String) {
    for check in try json.member("reading").array() {
      guard try check.member("key").string() == subject else { continue }
      return (try check.member("result").string(), try check.member("detail").string())
    }
    return ("absent", "")
  }

  /// Where the elements of an array of the metadata stand.
  static func elements(_ key: String, _ bytes: [UInt8]) throws -> Int {
    let name = Array(key.utf8)
    let place = try #require(
      bytes.indices.first { at in
        at + name.count + 16 <= bytes.count && at >= 8 && bytes[at] == name[0]
          && Array(bytes[at..<at + name.count]) == name && bytes[at - 8] == UInt8(name.count)
      }, "no \(key)")
    // Type of the value, type and number of the elements.
    return place + name.count + 4 + 4 + 8
  }

  /// Swaps neighbouring strings of a list.
  static func swapStrings(_ index: Int, of key: String, _ bytes: inout [UInt8]) throws {
    var at = try elements(key, bytes)
    func length() -> Int { (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) } }
    for _ in 0..<index { at += 8 + length() }
    let first = at
    at += 8 + length()
    let second = at
    at += 8 + length()
    bytes.replaceSubrange(
      first..<at, with: Array(bytes[second..<at]) + Array(bytes[first..<second]))
  }

  @Test("good files pass, against a pack and against the checkpoint")
  func good() throws {
    for model in [try Self.gemma.get(), try Self.llama.get()] {
      for against in [[model.pack], [model.checkpoint, "--prompts", model.prompts]] {
        let (result, json) = try model.verdict(model.file, against: against)
        #expect(result.status == 0, "\(result.output)")
        for subject in ["tokens", "tokenizer", "chatTemplate"] {
          #expect(try Self.reading(json, subject).result == "holds", "\(result.output)")
        }
      }
    }
  }

  /// A copy that must be refused, and whether the prompts' own tokens show it.
  func refused(_ model: Model, _ path: String, showsInTokens: Bool, names word: String) throws {
    let (result, json) = try model.verdict(path)
    #expect(result.status == 1, "\(result.output.prefix(400)) \(result.errors.prefix(400))")
    #expect(try json.member("passed").bool() == false)
    let data = try Self.reading(json, "tokenizer")
    #expect(data.result == "fails" && data.detail.contains(word), "\(data)")
    let tokens = try Self.reading(json, "tokens")
    if showsInTokens {
      #expect(tokens.result == "fails" && tokens.detail.contains("prompt "), "\(tokens)")
    }
    // The logits are those of the recorded tokens: no limit about them is broken.
    for check in try json.member("checks").array() { #expect(try check.member("passed").bool()) }
    try FileManager.default.removeItem(atPath: path)
  }

  @Test func oneScore() throws {
    let model = try Self.gemma.get()
    // The score of a part that the texts are made of: the token of the first merge in the first text.
    let told = try object(Tool.run(["tokenize", model.file, Self.texts[0], "--json"]))
    var id = 0
    for (piece, node) in zip(try told.member("pieces").array(), try told.member("ids").array()) {
      guard id == 0, try piece.string().unicodeScalars.count > 1 else { continue }
      let found = try node.int()
      if found != 2 { id = found }
    }
    let path = try model.edited { bytes in
      let at = try Self.elements("tokenizer.ggml.scores", bytes) + 4 * id
      let bits = Float(-100_000).bitPattern
      for index in 0..<4 {
        bytes[at + index] = UInt8(truncatingIfNeeded: bits >> UInt32(8 * index))
      }
    }
    try refused(model, path, showsInTokens: false, names: "scores differ")
  }

  @Test func oneScoreByTheLeastBit() throws {
    let model = try Self.gemma.get()
    let path = try model.edited { bytes in
      bytes[try Self.elements("tokenizer.ggml.scores", bytes) + 4 * 100] ^= 1
    }
    try refused(model, path, showsInTokens: false, names: "scores differ")
  }

  @Test("one token's type", arguments: [true, false])
  func type(isGemma: Bool) throws {
    let model = try isGemma ? Self.gemma.get() : Self.llama.get()
    let path = try model.edited { bytes in
      // Normal becomes control.
      let at = try Self.elements("tokenizer.ggml.token_type", bytes) + 4 * 300
      #expect(bytes[at] == 1)
      bytes[at] = 3
    }
    try refused(model, path, showsInTokens: false, names: "token types differ")
  }

  @Test("ids of special tokens", arguments: ["bos", "eos", "unknown", "padding"])
  func special(name: String) throws {
    let model = try Self.gemma.get()
    let path = try model.changed("tokenizer.ggml.\(name)_token_id", "5")
    try refused(
      model, path, showsInTokens: name == "bos",
      names: name == "unknown" ? "unk" : name == "padding" ? "pad" : name)
  }

  /// llama.cpp ends generation after these tokens too.
  @Test("a token for filling in the middle", arguments: ["fim_pad", "fim_rep", "fim_sep"])
  func fillIn(name: String) throws {
    for model in [try Self.gemma.get(), try Self.llama.get()] {
      let path = try model.changed("tokenizer.ggml.\(name)_token_id", "40")
      try refused(model, path, showsInTokens: false, names: "tokens that end a text")
    }
  }

  @Test func addBOS() throws {
    for model in [try Self.gemma.get(), try Self.llama.get()] {
      let path = try model.changed("tokenizer.ggml.add_bos_token", "false")
      try refused(
        model, path, showsInTokens: true, names: "tokens put before a text none, in the reference")
    }
  }

  @Test func oneMerge() throws {
    let model = try Self.llama.get()
    let path = try model.edited { bytes in
      try Self.swapStrings(3, of: "tokenizer.ggml.merges", &bytes)
    }
    try refused(model, path, showsInTokens: false, names: "merges differ")
  }

  @Test func preTokenizer() throws {
    let model = try Self.llama.get()
    let path = try model.changed("tokenizer.ggml.pre", "gpt-2")
    try refused(model, path, showsInTokens: false, names: "pre-tokenizer gpt-2, in the reference ")
    let unknown = try model.edited { bytes in
      // The last letter of the key, then the type and the length of the name.
      bytes[try Self.elements("tokenizer.ggml.pre", bytes) - 4] ^= 1
    }
    // A file without the name is refused before anything is read with it.
    let (result, json) = try model.verdict(unknown)
    #expect(result.status == 3)
    #expect(try json.member("error").member("code").string() == "gguf.metadata")
    // SentencePiece cuts no words: the name decides nothing there.
    let gemma = try Self.gemma.get()
    let idle = try gemma.verdict(try gemma.changed("tokenizer.ggml.pre", "gpt-2"))
    #expect(idle.result.status == 0)
    #expect(try Self.reading(idle.json, "tokenizer").result == "differs")
  }

  @Test("another chat template is told, and decides where a prompt is a conversation")
  func chatTemplate() throws {
    let model = try Self.gemma.get()
    let path = try model.changed("tokenizer.chat_template", "{{ messages[0].content }}")
    let (told, json) = try model.verdict(path)
    #expect(told.status == 0)
    #expect(try Self.reading(json, "chatTemplate").result == "differs")
    let prompts = model.folder.path("talk.jsonl")
    let line = #"{"messages": [{"role": "user", "content": "Good day"}]}"#
    try Data(line.utf8).write(to: URL(fileURLWithPath: prompts))
    let (decides, talk) = try model.verdict(
      path, against: [model.checkpoint, "--prompts", prompts])
    #expect(decides.status == 1)
    #expect(try Self.reading(talk, "chatTemplate").result == "fails")
    #expect(try Self.reading(talk, "tokens").result == "holds")
  }

  /// The built-in conversations go through both templates.
  @Test("against a checkpoint another chat template decides where it makes other tokens")
  func chatTemplateOfBuiltInConversations() throws {
    let model = try Self.gemma.get()
    guard
      case .string(let own)? = try GGUFFile.open(model.file).value("tokenizer.chat_template")
    else {
      Issue.record("no template")
      return
    }
    let text = String(decoding: own.bytes, as: UTF8.self)
    func verdict(_ template: String) throws -> (status: Int32, result: String, detail: String) {
      let path = try model.changed("tokenizer.chat_template", template)
      let (result, json) = try model.verdict(path, against: [model.checkpoint])
      let check = try Self.reading(json, "chatTemplate")
      return (result.status, check.result, check.detail)
    }
    let same = try verdict("{# the same in other words #}" + text)
    #expect(same.status == 0 && same.result == "differs", "\(same)")
    #expect(same.detail.contains("the same tokens of 2 conversations"), "\(same)")
    let other = try verdict(text.replacingOccurrences(of: "<end_of_turn>", with: "<eos>"))
    #expect(other.status == 1 && other.result == "fails", "\(other)")
    #expect(other.detail.hasPrefix("not the reference's: prompt 10, token "), "\(other)")
    // It drops the system's turn only.
    let deaf = try verdict(
      text.replacingOccurrences(
        of: "{% for m in messages %}", with: "{% for m in messages if m['role'] != 'system' %}"))
    #expect(deaf.status == 1 && deaf.detail.contains("prompt 11, token "), "\(deaf)")
    let broken = try verdict("{% import 'x' as y %}")
    #expect(broken.status == 1 && broken.result == "fails", "\(broken)")
    #expect(broken.detail.contains("does not make prompt 10"), "\(broken)")
  }

  /// What the reference's template does not make a prompt of is left out, and told.
  @Test(
    arguments: [
      ("{% import 'x' as y %}{{ messages[0].content }}", ["user", "system"]),
      (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
          + "{% for m in messages %}{{ m.content }}{% endfor %}", ["system"]
      ),
    ])
  func templatesOutsideTheSubset(template: String, leftOut: [String]) throws {
    let checkpoint = try EditedCheckpoint("gemma3")
    try checkpoint.write()
    let quoted = String(
      decoding: JSONValue.string(template).serialized(pretty: false), as: UTF8.self)
    try checkpoint.set(["chat_template": quoted], file: "tokenizer_config.json")
    let file = checkpoint.folder.path("out.gguf")
    #expect(try Tool.run(["convert", checkpoint.path, "-o", file]).status == 0)
    let result = try Tool.run(["verify", file, "--against", checkpoint.path, "--json"])
    #expect(result.status == 0, "\(result.output.prefix(400)) \(result.errors)")
    let json = try object(result)
    let notes = try json.member("notes").array().map { try $0.string() }
    for role in ["user", "system"] {
      let words = "begins with a \(role)'s turn is left out"
      #expect(notes.contains { $0.contains(words) } == leftOut.contains(role), "\(notes)")
    }
    #expect(try Self.reading(json, "chatTemplate").result == "holds")
  }

  @Test("a file without a tokenizer reads no text; ids need none")
  func noTokenizer() throws {
    let model = try Self.gemma.get()
    let path = try model.edited { bytes in
      // The key of another name is no list of tokens any more.
      let at = try Self.elements("tokenizer.ggml.tokens", bytes) - 17
      bytes[at] = UInt8(ascii: "x")
    }
    let (result, json) = try model.verdict(path)
    #expect(result.status == 1, "\(result.output.prefix(400)) \(result.errors.prefix(400))")
    #expect(try Self.reading(json, "tokenizer").result == "fails")
    #expect(try Self.reading(json, "tokens").result == "fails")
    let prompts = model.folder.path("ids.jsonl")
    try Data(#"{"ids": [2, 10, 20, 30]}"#.utf8).write(to: URL(fileURLWithPath: prompts))
    let (ids, only) = try model.verdict(
      path, against: [model.checkpoint, "--prompts", prompts, "--min-positions", "1"])
    #expect(ids.status == 0)
    #expect(try Self.reading(only, "tokenizer").result == "notChecked")
    #expect(try Self.reading(only, "tokens").result == "notChecked")
  }

  @Test("every kind of report says it")
  func reports() throws {
    let model = try Self.gemma.get()
    let path = try model.changed("tokenizer.ggml.bos_token_id", "5")
    let (html, junit) = (model.folder.path("out.html"), model.folder.path("out.xml"))
    let result = try Tool.run([
      "verify", path, "--against", model.pack, "--report", html, "--junit", junit, "--force",
    ])
    #expect(result.status == 1)
    let detail = "prompt 0, token 0: 5 '"
    #expect(result.output.contains("FAIL  The model does not read texts as the reference does"))
    #expect(result.output.contains("FAILS  texts as tokens") && result.output.contains(detail))
    let page = try String(contentsOfFile: html, encoding: .utf8)
    #expect(page.contains(">fails</span></td><td>texts as tokens") && page.contains("FAIL"))
    let xml = try String(contentsOfFile: junit, encoding: .utf8)
    #expect(xml.contains("name=\"texts as tokens\"><failure message=\"prompt 0, token 0: 5"))
    #expect(xml.contains("failures=\"2\""))
  }
}
