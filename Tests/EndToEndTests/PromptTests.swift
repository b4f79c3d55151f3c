import Foundation
import Testing
import Tincture
import TinctureCore
import TinctureTestSupport

/// Prompts of `record`, `verify` and `run`: what they may hold, where an error says it stands, how they are cut.
@Suite("Prompts")
struct PromptTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  func prompts(_ lines: String...) throws -> String {
    let path = folder.path("p\(UInt64.random(in: 0 ... .max)).jsonl")
    try Data(lines.joined(separator: "\n").utf8).write(to: URL(fileURLWithPath: path))
    return path
  }

  func record(_ model: String, _ prompts: String, _ words: [String] = []) throws -> Tool.Result {
    try Tool.run(
      ["record", model, "--prompts", prompts, "-o", folder.path("out.pack"), "--force", "--json"]
        + words)
  }

  func convert(_ name: String) throws -> String {
    let path = folder.path("\(name).gguf")
    let result = try Tool.run(["convert", TinyModels.path(name), "-o", path])
    try #require(result.status == 0, "\(result.errors)")
    return path
  }

  /// The error a run printed: its code, and where it stands.
  func error(_ result: Tool.Result) throws -> (code: String, file: String?, key: String?) {
    let error = try object(result).member("error")
    let place = try error.member("place")
    return (
      try error.member("code").string(), try place.present("file")?.string(),
      try place.present("key")?.string()
    )
  }

  static let picture = #"{"text": "a<image_soft_token>b"}"#

  @Test("the mark of a picture is refused by name where it has no row")
  func pictureWithoutARow() throws {
    let path = try prompts(#"{"text": "a"}"#, "", Self.picture)
    let model = TinyModels.path("gemma3")
    for result in [
      try record(model, path),
      try Tool.run([
        "verify", try convert("gemma3"), "--against", model, "--prompts", path, "--json",
      ]),
    ] {
      #expect(result.status == 4, "\(result.output)")
      let found = try error(result)
      #expect(found == ("runtime.token", path, "line 3"), "\(found)")
      #expect(result.output.contains("<image_soft_token>"))
      #expect(result.output.contains("pictures are not supported yet"))
    }
    let run = try Tool.run(["run", model, "-p", "a<image_soft_token>", "-n", "1"])
    #expect(run.status == 4 && run.errors.contains("pictures are not supported yet"))
  }

  @Test("in a multimodal checkpoint it is a token like any other")
  func pictureWithARow() throws {
    let name = "gemma3-multimodal-new"
    let path = try prompts(Self.picture)
    let result = try Tool.run([
      "verify", try convert(name), "--against", TinyModels.path(name), "--prompts", path,
      "--min-positions", "1",
    ])
    #expect(result.status == 0, "\(result.output) \(result.errors)")
  }

  @Test("a conversation for a model without a template: the prompt's line")
  func conversationWithoutATemplate() throws {
    let path = try prompts(
      #"{"text": "a"}"#, #"{"messages": [{"role": "user", "content": "Hello"}]}"#)
    let result = try record(TinyModels.path("gemma"), path)
    #expect(result.status == 4)
    let found = try error(result)
    #expect(found == ("chat.template.missing", path, "line 2"), "\(found)")
    #expect(!result.output.contains("--prompt"))
    // What a template says against a conversation stands in the model's file, and names the line too.
    let turns = try prompts(
      #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}"#)
    let raised = try record(TinyModels.path("gemma3"), turns)
    #expect(raised.status != 0 && raised.output.contains("chat.template."))
    #expect(try error(raised).key?.hasSuffix("\(turns), line 1") == true, "\(raised.output)")
  }

  @Test("too long for the context: one exit status everywhere")
  func context() throws {
    let text = String(repeating: "hello ", count: 300)
    let path = try prompts("{\"text\": \"\(text)\"}")
    let model = TinyModels.path("gemma3")
    let recorded = try record(model, path)
    #expect(recorded.status == 2)
    #expect(try error(recorded) == ("runtime.context", path, "line 1"))
    let file = try convert("gemma3")
    let verified = try Tool.run([
      "verify", file, "--against", model, "--prompts", path, "--json",
    ])
    #expect(verified.status == 2)
    #expect(try error(verified).code == "runtime.context")
    let run = try Tool.run(["run", file, "-p", text, "--json"])
    #expect(run.status == 2)
    #expect(try error(run).code == "runtime.context")
    // A larger context is advice only where there is one.
    #expect(run.output.contains("begin a new conversation"), "\(run.output)")
    let narrow = try Tool.run(["run", file, "-p", text, "--json", "--context", "8"])
    #expect(narrow.output.contains("give a larger --context"), "\(narrow.output)")
    let cut = try record(model, path, ["--tokens", "256"])
    #expect(cut.status == 0, "\(cut.output)")
  }

  @Test("one template, whichever command asks")
  func oneTemplate() throws {
    let path = try prompts(#"{"messages": [{"role": "user", "content": "Good day"}]}"#)
    for name in ["gemma3", "gemma3-multimodal-old", "gemma3-multimodal-new", "llama3", "qwen3"] {
      var ids: [String] = []
      for model in [TinyModels.path(name), try convert(name)] {
        let told = try Tool.run(["tokenize", model, "Good day", "--chat", "--ids"])
        #expect(told.status == 0, "\(told.errors)")
        let read = try Tool.run(["tokenize", model, "--prompts", path, "--ids"])
        ids += [told.output, read.output]
        let recorded = try record(model, path)
        let count = try object(recorded).member("tokenCount").int()
        #expect(count == told.output.split(separator: " ").count)
      }
      // Dates aside, which no tiny model's template writes.
      #expect(Set(ids).count == 1, "\(name): \(ids)")
    }
  }

  @Test("what a template writes cannot be left out", arguments: ["parse-special", "special"])
  func parsing(option: String) throws {
    let model = TinyModels.path("gemma3")
    let path = try prompts(#"{"messages": [{"role": "user", "content": "Good day"}]}"#)
    for words in [["Good day", "--chat"], ["--prompts", path]] {
      let result = try Tool.run(["tokenize", model, "--no-" + option] + words)
      #expect(result.status == 2 && result.errors.contains("argument.conflict"), "\(result.errors)")
    }
  }

  @Test("ids that are no tokens are refused", arguments: ["gemma3", "qwen2", "bert-cased"])
  func idsWithoutATextAreRefused(name: String) throws {
    let model = TinyModels.path(name)
    let count = try Tokenizer.open(Checkpoint.open(model)).count
    let good = try prompts("{\"ids\": [1, \(count - 1)]}")
    #expect(try Tool.run(["tokenize", model, "--prompts", good, "--decode"]).status == 0)
    let path = try prompts("{\"ids\": [1]}", "{\"ids\": [1, 2, \(count)]}")
    let result = try Tool.run(["tokenize", model, "--prompts", path, "--decode", "--json"])
    #expect(result.status == 3, "\(result.output)")
    #expect(try error(result) == ("tokenizer.id", "\(path), line 2", "ids[2]"))
    let refused = try object(result).member("error")
    #expect(try refused.member("found").string() == "\(count)")
    #expect(try refused.member("expected").string().contains("it has \(count) tokens"))
    for more in [[], ["--ids"]] {
      let plain = try Tool.run(["tokenize", model, "--prompts", path, "--json"] + more)
      #expect(plain.status == 3 && plain.output.contains("tokenizer.id"), "\(plain.output)")
    }
  }

  @Test("every tiny checkpoint's file reads as the checkpoint does", arguments: TinyModels.names)
  func readsAlike(name: String) throws {
    let result = try Tool.run([
      "verify", try convert(name), "--against", TinyModels.path(name), "--json",
    ])
    // A file computes BERT's GELU in its tanh form, which its limits may or may not forgive: the reading is asked here.
    #expect(result.status <= 1, "\(result.output.prefix(300)) \(result.errors.prefix(300))")
    let checks = try object(result).member("reading").array()
    for check in checks { #expect(try check.member("result").equals("holds"), "\(check)") }
    if name.hasPrefix("bert") {
      let notes = try object(result).member("notes").array().map { try $0.string() }
      #expect(notes.contains { $0.contains("pooler rows") }, "\(notes)")
    }
  }

  @Test("built-in texts are cut to a short context, and the report says so")
  func builtIn() throws {
    let longest = try BuiltInPrompts.all().texts.map { prompt -> Int in
      if case .text(let text) = prompt { text.unicodeScalars.count } else { 0 }
    }.max()
    // Gemma makes a token of 3.1 characters of these languages, and its vocabulary is the largest.
    #expect(try #require(longest) > 3_700)
    for (name, context) in [("gemma3", 256), ("qwen3", 256)] {
      let result = try Tool.run(["verify", try convert(name), "--against", TinyModels.path(name)])
      #expect(result.status == 0, "\(result.output) \(result.errors)")
      let note = "built-in texts are cut to the model's context of \(context) tokens"
      #expect(result.output.contains(note), "\(result.output)")
    }
  }
}
