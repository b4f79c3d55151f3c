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

  @Test func aDryRunNamesWhatWouldBeWritten() throws {
    let model = try TokenMutationTests.gemma.get()
    let folder = try TemporaryFolder()
    let (page, tests) = (folder.path("out.html"), folder.path("out.xml"))
    let words = ["verify", model.file, "--against", model.pack, "--dry-run"]
    let dry = try Tool.run(words + ["--report", page, "--junit", tests])
    #expect(dry.status == 0, "\(dry.errors)")
    for path in [page, tests] { #expect(dry.output.contains("would write \(path)\n")) }
    #expect(!FileManager.default.fileExists(atPath: page))
    #expect(try !Tool.run(words).output.contains("would write"))
    let json = try object(
      Tool.run(words + ["--report", page, "--json"]))
    #expect(try json.member("outputs").array().map { try $0.string() } == [page])
  }

  /// What llama.cpp's programs sample with is told where it differs, and decides nothing.
  @Test func defaultsOfSamplingAreTold() throws {
    let model = try TokenMutationTests.gemma.get()
    func notes(_ path: String, against reference: String) throws -> [String] {
      let (result, json) = try model.verdict(
        path, against: [reference, "--prompts", model.prompts])
      #expect(result.status == 0, "\(result.output)")
      return try json.member("notes").array().map { try $0.string() }.filter {
        $0.contains("sampling")
      }
    }
    #expect(try notes(model.file, against: model.checkpoint) == [])
    let other = try model.changed("general.sampling.top_k", "3")
    let more = try model.changed("general.sampling.temp", "9")
    for reference in [model.checkpoint, model.file] {
      let told = try notes(other, against: reference)
      #expect(
        told.count == 1
          && told[0].hasSuffix("general.sampling.top_k 3, in the reference 64"), "\(told)")
      let added = try notes(more, against: reference)
      #expect(
        added.count == 1
          && added[0].hasSuffix("general.sampling.temp 9.0, in the reference absent"), "\(added)")
    }
    let gone = try notes(model.file, against: more)
    #expect(
      gone.count == 1 && gone[0].hasSuffix("general.sampling.temp absent, in the reference 9.0"),
      "\(gone)")
    let (page, result) = (
      model.folder.path("sampling.html"),
      try Tool.run([
        "verify", other, "--against", model.checkpoint, "--prompts", model.prompts, "--report",
        model.folder.path("sampling.html"),
      ])
    )
    let words = "general.sampling.top_k 3, in the reference 64"
    #expect(result.output.contains(words), "\(result.output)")
    #expect(try String(contentsOfFile: page, encoding: .utf8).contains(words))
  }

  /// An error about what a path is says what may stand at its place.
  @Test func whatMayStandThereIsSaid() throws {
    let model = try TokenMutationTests.gemma.get()
    let prompts = try Tool.run(["verify", model.file, "--against", model.prompts])
    #expect(prompts.status == 3 && prompts.errors.contains("checkpoint.kind"))
    for words in ["a GGUF file", "a pack of 'tincture record'", "--prompts"] {
      #expect(prompts.errors.contains(words), "\(prompts.errors)")
    }
    let pack = try Tool.run(["verify", model.pack, "--against", model.file])
    #expect(pack.status == 3 && pack.errors.contains("a parity pack is no model"))
    #expect(pack.errors.contains("a GGUF file") && pack.errors.contains("--against"))
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

  /// What is not there has no identity that could be compared.
  @Test func aReportIsNotWrittenOverAMissingInput() throws {
    let gemma = try TokenMutationTests.gemma.get()
    let folder = try TemporaryFolder()
    let path = folder.path("nothing")
    for option in ["--report", "--junit"] {
      let result = try Tool.run(["verify", gemma.file, "--against", path, option, path])
      #expect(result.status == 3, "\(result.errors)")
      #expect(result.errors.contains("output.isInput"))
      #expect(try names(folder.path).isEmpty)
    }
  }

  /// A build that collects JUnit sees an error too.
  @Test(
    "a model that cannot be read leaves JUnit with an error",
    arguments: ["cut", "missing", "unknown", "pack", "reference", "memory", "prompts"])
  func junitOfErrors(fault: String) throws {
    let gemma = try TokenMutationTests.gemma.get()
    let folder = try TemporaryFolder()
    let (model, xml) = (folder.path("model.gguf"), folder.path("out.xml"))
    var (file, against, words) = (gemma.file, gemma.pack, [String]())
    var status: Int32 = 3
    switch fault {
    case "cut":
      file = model
      try Data(bytes(gemma.file).dropLast(1000)).write(to: URL(fileURLWithPath: model))
    case "missing":
      file = folder.path("nothing.gguf")
    case "unknown":
      file = model
      var data = try bytes(gemma.file)
      let name = try #require(data.range(of: Data("gemma3".utf8)))
      data.replaceSubrange(name, with: Data("gemma9".utf8))
      try data.write(to: URL(fileURLWithPath: model))
      status = 4
    case "pack":
      against = folder.path("ref.pack")
      var data = try bytes(gemma.pack)
      data[data.count / 2] ^= 0xff
      try data.write(to: URL(fileURLWithPath: against))
    case "reference": against = folder.path("nothing")
    case "memory":
      words = ["--memory", "4K"]
      status = 6
    default:
      words = ["--prompts", folder.path("p.jsonl")]
      against = gemma.checkpoint
      try Data("{\"text\": }".utf8).write(to: URL(fileURLWithPath: folder.path("p.jsonl")))
    }
    let page = folder.path("out.html")
    let command =
      ["verify", file, "--against", against, "--json", "--junit", xml, "--report", page] + words
    let dry = try Tool.run(command + ["--dry-run"])
    if fault != "memory", fault != "pack" { #expect(dry.status == status, "\(dry.output)") }
    #expect(try !names(folder.path).contains("out.xml"))
    let result = try Tool.run(command)
    #expect(result.status == status, "\(result.output.prefix(400))")
    let error = try object(result).member("error")
    let text = try String(contentsOfFile: xml, encoding: .utf8)
    #expect(XMLParser(data: Data(text.utf8)).parse(), "\(text)")
    let code = try error.member("code").string()
    #expect(text.contains("<error type=\"\(code)\" message=\""), "\(text)")
    #expect(text.contains("tests=\"1\" failures=\"0\" errors=\"1\""), "\(text)")
    #expect(text.contains("exit status: \(status)"), "\(text)")
    let message = try error.member("message").string()
    let delegate = Messages()
    let parser = XMLParser(data: Data(text.utf8))
    parser.delegate = delegate
    #expect(parser.parse() && delegate.found == [message], "\(text)")
    #expect(try names(folder.path).allSatisfy { !$0.hasSuffix("partial") })
    #expect(result.errors.isEmpty, "\(result.errors)")
    try pageHolds(error, file, against, page)
    // The file is there: it stays as it is without --force.
    try Data("<?xml old".utf8).write(to: URL(fileURLWithPath: xml))
    // Where the model could be opened, that name is refused first.
    #expect(try Tool.run(command).status == (["memory", "pack"].contains(fault) ? 5 : status))
    #expect(try bytes(xml) == Data("<?xml old".utf8))
    #expect(try Tool.run(command + ["--force"]).status == status)
    #expect(try String(contentsOfFile: xml, encoding: .utf8).contains(code))
  }

  /// A page of an error states all that is known of it, and needs nothing else.
  private func pageHolds(_ error: JSON, _ file: String, _ against: String, _ path: String) throws {
    let page = try String(contentsOfFile: path, encoding: .utf8)
    #expect(page.hasPrefix("<!DOCTYPE html>") && page.contains("<p class=\"word\">ERROR</p>"))
    #expect(!page.contains("http") && !page.contains("<script") && !page.contains("<link"))
    let place = try error.member("place")
    let texts = try ["code", "message", "expected", "found", "advice"].compactMap { name in
      try error.present(name)?.string()
    }
    let places = try ["file", "tensor", "key"].compactMap { try place.present($0)?.string() }
    for text in texts + places + [file, against] {
      let escaped = [("&", "amp"), ("<", "lt"), (">", "gt"), ("\"", "quot"), ("'", "#39")].reduce(
        text
      ) { $0.replacingOccurrences(of: $1.0, with: "&\($1.1);") }
      #expect(page.contains(escaped), "\(text): \(page)")
    }
  }

  /// A report of an error that cannot be written is a second error; the first one's exit status stays.
  @Test("an error whose reports cannot be written", arguments: [false, true])
  func reportsThatAreNotWritten(json: Bool) throws {
    let gemma = try TokenMutationTests.gemma.get()
    let folder = try TemporaryFolder()
    let cut = folder.path("cut.gguf")
    try Data(bytes(gemma.file).dropLast(1000)).write(to: URL(fileURLWithPath: cut))
    let (page, xml) = (folder.path("out.html"), folder.path("out.xml"))
    let words = ["verify", cut, "--against", gemma.pack] + (json ? ["--json"] : [])
    func errors(_ more: [String], _ files: [String], _ code: String) throws {
      let result = try Tool.run(words + more)
      #expect(result.status == 3, "\(result.errors)")
      let parts = result.errors.components(separatedBy: "the report of this error was not written")
      #expect(parts.count == files.count + 1, "\(result.errors)")
      for (part, file) in zip(parts.dropFirst(), files) {
        #expect(part.contains(file) && part.contains("\(code) (the exit status is"), "\(part)")
      }
      if json {
        #expect(parts[0] == (files.isEmpty ? "" : "tincture: error: "))
        #expect(try object(result).member("error").member("exitStatus").int() == 3)
      } else {
        let next = files.isEmpty ? "" : "tincture: error: "
        #expect(parts[0].hasSuffix("(exit status 3)\n" + next), "\(parts[0])")
      }
    }
    let nowhere = folder.path("no/out")
    try errors(["--junit", nowhere, "--report", page], [nowhere], "file.write")
    #expect(try String(contentsOfFile: page, encoding: .utf8).contains("ERROR"))
    // The names are taken: by a report of before, which --force replaces, and by something else, which it does not.
    try errors(["--junit", xml, "--report", page], [page], "file.exists")
    try errors(["--junit", xml, "--report", page], [xml, page], "file.exists")
    try errors(["--junit", xml, "--report", page, "--force"], [], "")
    try Data("text".utf8).write(to: URL(fileURLWithPath: page))
    try errors(["--junit", xml, "--report", page, "--force"], [page], "file.exists")
    #expect(try bytes(page) == Data("text".utf8))
    try errors(["--junit", cut, "--force"], [cut], "output.isInput")
    #expect(try names(folder.path) == ["cut.gguf", "out.html", "out.xml"])
  }

  /// Messages of the errors in JUnit XML.
  private final class Messages: NSObject, XMLParserDelegate {
    var found: [String] = []

    func parser(
      _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
      qualifiedName: String?, attributes: [String: String]
    ) {
      if name == "error" { found.append(attributes["message"] ?? "") }
    }
  }

  @Test("JUnit of an error is written over no input, for no wrong words")
  func junitThatIsNotWritten() throws {
    let gemma = try TokenMutationTests.gemma.get()
    let broken = try EditedCheckpoint("gemma3")
    try broken.write()
    try broken.write("{", to: "config.json")
    let cut = broken.folder.path("cut.gguf")
    try Data(bytes(gemma.file).dropLast(1000)).write(to: URL(fileURLWithPath: cut))
    let pack = broken.folder.path("ref.pack")
    try FileManager.default.copyItem(atPath: gemma.pack, toPath: pack)
    let link = broken.folder.path("link.xml")
    try FileManager.default.linkItem(atPath: pack, toPath: link)
    let before = try names(broken.path)
    for (model, name) in [
      (broken.path, "config.json"), (broken.path, "tokenizer.json"),
      (broken.path, "model.safetensors"), (cut, "cut.gguf"), (cut, "ref.pack"), (cut, "link.xml"),
    ] {
      let old = try bytes(broken.folder.path(name))
      let result = try Tool.run([
        "verify", model, "--against", pack, "--junit", broken.folder.path(name), "--force",
      ])
      #expect(result.status == 3, "\(name): \(result.errors)")
      #expect(try bytes(broken.folder.path(name)) == old, "\(name)")
    }
    for words in [["--tolerance", "loose"], ["--tokens", "5"], ["--unknown"]] {
      let result = try Tool.run(
        ["verify", gemma.file, "--against", pack, "--junit", broken.folder.path("out.xml")] + words)
      #expect(result.status == 2, "\(words): \(result.errors)")
    }
    let nowhere = try Tool.run([
      "verify", cut, "--against", pack, "--junit", broken.folder.path("no/out.xml"),
    ])
    #expect(nowhere.status == 3, "\(nowhere.errors)")
    #expect(try names(broken.path) == before)
  }

  /// A type that no tolerance is for would be held against nothing.
  @Test func everyTypeHasACost() throws {
    let gemma = try TokenMutationTests.gemma.get()
    let folder = try TemporaryFolder()
    let formats = folder.path("formats")
    try FileManager.default.copyItem(atPath: Repository.path("formats"), toPath: formats)
    let url = URL(fileURLWithPath: formats + "/tolerances/q4_0.json5")
    let text = try String(contentsOf: url, encoding: .utf8)
    let less = text.replacingOccurrences(of: ", \"IQ4_XS\"]", with: "]")
    #expect(less != text)
    let words = ["verify", gemma.file, "--against", gemma.pack, "--tolerance", "f32", "--json"]
    let environment = ["TINCTURE_FORMATS": formats]
    #expect(try Tool.run(words, environment: environment).status == 0)
    try Data(less.utf8).write(to: url)
    for more in [[], ["--dry-run"]] {
      let result = try Tool.run(words + more, environment: environment)
      #expect(result.status == 3, "\(result.output)")
      let error = try object(result).member("error")
      #expect(try error.member("code").string() == "tolerance.cost")
      #expect(try error.member("message").string().contains("IQ4_XS"))
      #expect(try error.member("place").member("file").string() == formats + "/tolerances")
    }
  }

  /// A check without its limit would be passed over in silence: in the tolerance of the file, and in that of a type it stores.
  @Test(
    "every limit that a file needs is there",
    arguments: [
      ("f16", "positions", false), ("f16", "meanDivergence", false), ("f16", "stageError", false),
      ("f16", "rowError", false), ("f16", "lengthError", false), ("f16", "signError", false),
      ("f16", "blockError", true), ("bf16", "lengthError", false), ("bf16", "signError", false),
    ])
  func everyLimit(tolerance: String, key: String, againstModel: Bool) throws {
    let gemma = try TokenMutationTests.gemma.get()
    let folder = try TemporaryFolder()
    let formats = folder.path("formats")
    try FileManager.default.copyItem(atPath: Repository.path("formats"), toPath: formats)
    let pack = folder.path("ref.pack")
    let recorded = try Tool.run([
      "record", gemma.checkpoint, "--prompts", gemma.prompts, "-o", pack, "--layers",
    ])
    try #require(recorded.status == 0, "\(recorded.errors)")
    let file = folder.path("bf16.gguf")
    let made = try Tool.run(["convert", gemma.checkpoint, "-o", file, "--type", "bf16"])
    try #require(made.status == 0, "\(made.errors)")
    let words =
      ["verify", file, "--json", "--tolerance", "f16", "--against"]
      + (againstModel ? [gemma.checkpoint, "--prompts", gemma.prompts] : [pack])
    let environment = ["TINCTURE_FORMATS": formats]
    let before = try Tool.run(words, environment: environment)
    #expect(before.status <= 1, "\(before.output)")
    let path = formats + "/tolerances/\(tolerance).json5"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let less = lines.filter { !$0.hasPrefix("    \(key):") }.joined(separator: "\n")
    #expect(less != text)
    try Data(less.utf8).write(to: URL(fileURLWithPath: path))
    for more in [[], ["--dry-run"]] {
      let result = try Tool.run(words + more, environment: environment)
      #expect(result.status == 3, "\(result.output)")
      let error = try object(result).member("error")
      #expect(try error.member("code").string() == "tolerance.limit")
      #expect(try error.member("message").string().contains("the tolerance \(tolerance) "))
      #expect(try error.member("place").member("file").string() == path)
      #expect(try error.member("expected").string() == key)
      #expect(try error.member("advice").string().contains("add \(key) to the limits"))
    }
  }

  @Test func adviceOnATolerance() throws {
    let gemma = try TokenMutationTests.gemma.get()
    let result = try Tool.run(["verify", gemma.file, "--against", gemma.pack, "--tolerance", "q9"])
    #expect(result.status == 2 && result.errors.contains("leave --tolerance out"))
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
