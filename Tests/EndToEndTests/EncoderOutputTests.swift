import Foundation
import Testing
import Tincture
import TinctureCore
import TinctureTestSupport

/// What `record` and `verify` make of encoders: heads of checkpoints, lengths of vectors, numbers that count nothing.
@Suite("Outputs of encoders")
struct EncoderOutputTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  func prompts() throws -> String {
    let path = folder.path("prompts.jsonl")
    let ids = (0..<40).map { "\(5 + ($0 * 37) % 300)" }.joined(separator: ", ")
    try Data("{\"ids\": [2, \(ids), 3]}".utf8).write(to: URL(fileURLWithPath: path))
    return path
  }

  func verify(_ model: String, against reference: String) throws -> JSON {
    let result = try Tool.run([
      "verify", model, "--against", reference, "--prompts", try prompts(), "--json",
      "--min-positions", "10",
    ])
    try #require(result.status == 0, "\(result.output)\(result.errors)")
    return try object(result)
  }

  @Test("position numbers among the weights choose no tolerance")
  func positionNumbers() throws {
    for name in ["bert-uncased", "bert-cased"] {
      let path = TinyModels.path(name)
      #expect(try verify(path, against: path).member("tolerance").string() == "f32")
    }
  }

  @Test("a GGUF file gives pooled vectors the length 1; verify compares directions")
  func lengths() throws {
    let model = Repository.path("golden/heads/bert-masked")
    let file = folder.path("masked.gguf")
    try #require(try Tool.run(["convert", model, "-o", file, "--type", "f32"]).status == 0)
    let report = try verify(file, against: model)
    #expect(try report.member("pooled").member("normalizedError").double() < 1e-4)
  }

  @Test(
    "a masked-word head that is not tied needs a decoder and a bias of its own",
    arguments: [
      ("cls.predictions.decoder.weight", "cls.predictions.decoder.weight"),
      ("cls.predictions.decoder.bias", nil), ("cls.predictions.bias", nil),
      ("bias", "cls.predictions.bias"),
    ])
  func lostParts(lost: String, missing: String?) throws {
    var checkpoint = try EditedCheckpoint("bert-masked", of: "golden/heads")
    checkpoint.tensors.removeAll {
      lost == "bias"
        ? $0.name == "cls.predictions.bias" || $0.name == "cls.predictions.decoder.bias"
        : $0.name == lost
    }
    try checkpoint.write()
    let result = try Tool.run([
      "record", checkpoint.path, "--prompts", try prompts(), "-o", folder.path("out.pack"),
      "--force", "--json",
    ])
    guard let missing else {
      #expect(result.status == 0, "\(result.output)")
      return
    }
    #expect(result.status == 3, "\(result.output)")
    let error = try object(result).member("error")
    #expect(try error.member("code").string() == "runtime.missing")
    #expect(try error.member("place").member("tensor").string() == missing)
  }

  /// transformers hands a template the special tokens that tokenizer_config.json names; null is none, whatever
  /// config.json says.
  @Test(
    "special tokens of a chat template",
    arguments: [
      ("qwen2", #""bos_token": null"#, "{{ bos_token }}|{{ eos_token }}", "|<|im_end|>"),
      (
        "gemma3", #""bos_token": "<bos>""#, "{{ bos_token }}{{ pad_token }}{{ boi_token }}",
        "<bos><pad><start_of_image>"
      ),
    ])
  func templateTokens(name: String, member: String, template: String, expected: String) throws {
    let checkpoint = try EditedCheckpoint(name)
    try checkpoint.write()
    let settings = try String(
      contentsOfFile: checkpoint.folder.path("tokenizer_config.json"), encoding: .utf8)
    #expect(settings.contains(member))
    try template.write(
      toFile: checkpoint.folder.path("chat_template.jinja"), atomically: true, encoding: .utf8)
    let opened = try Checkpoint.open(checkpoint.path)
    let format = try ChatFormat(opened, tokenizer: try Tokenizer.open(opened), now: nil)
    #expect(
      try format.text([ChatMessage(role: "user", content: .text("x"))], addGenerationPrompt: false)
        == expected)
  }
}
