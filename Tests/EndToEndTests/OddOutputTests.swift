import Foundation
import Testing
import TinctureCore
import TinctureTestSupport

/// Names and places that an output cannot have, and odd ones it can.
@Suite struct OddOutputTests {
  private func write(_ output: String, _ words: String...) throws -> Tool.Result {
    try Tool.run(
      ["quantize", try fixture().source, "-o", output, "--recipe", "q8_0", "--json"] + words)
  }

  @Test func placesThatCannotBeWritten() throws {
    let folder = try TemporaryFolder()
    try Data("x".utf8).write(to: URL(fileURLWithPath: folder.path("file")))
    try FileManager.default.createDirectory(
      atPath: folder.path("folder.gguf"), withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("loop.gguf"), withDestinationPath: folder.path("loop.gguf"))
    let before = try names(folder.path)
    for (output, status) in [
      ("nowhere/out.gguf", 5), ("file/out.gguf", 5), ("folder.gguf", 5), ("loop.gguf", 5),
      (String(repeating: "n", count: 250) + ".gguf", 5), ("folder.gguf/", 2), ("..", 2),
    ] as [(String, Int32)] {
      let result = try write(folder.path(output))
      #expect(result.status == status, "\(output): \(result.output)")
      let error = try object(result).member("error")
      #expect(try error.member("place").member("file").string().hasPrefix(folder.path))
      #expect(try names(folder.path) == before, "\(output)")
    }
    // A file system that takes no files.
    let result = try write("/proc/out.gguf")
    #expect(result.status == 5 || result.status == 6, "\(result.output)")
  }

  @Test(arguments: [
    "with space.gguf", "new\nline.gguf", "ünïcödé 模型.gguf", "-dash.gguf", "no-ending",
  ])
  func oddNames(_ name: String) throws {
    let folder = try TemporaryFolder()
    let result = try write(folder.path(name))
    #expect(result.status == 0, "\(result.output)")
    #expect(try names(folder.path) == [name])
    let outputs = Array(try object(result).member("outputs").array())
    #expect(try outputs.first?.member("path").string() == folder.path(name))
  }

  /// With --force a link's own name is replaced; what it led to stays as it was.
  @Test func aLinkIsReplacedAndNotFollowed() throws {
    let folder = try TemporaryFolder()
    let target = folder.path("precious")
    try Data("precious".utf8).write(to: URL(fileURLWithPath: target))
    let link = folder.path("out.gguf")
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
    #expect(try write(link).status == 5)
    #expect(try write(link, "--force").status == 0)
    #expect(try bytes(target) == Data("precious".utf8))
    #expect(try bytes(link).starts(with: Data("GGUF".utf8)))
  }

  /// BioBERT as it was published in 2019: no architecture in config.json, vocab.txt alone, gamma and beta.
  @Test func bioBERTOf2019() throws {
    let checkpoint = try EditedCheckpoint("bert-cased")
    try checkpoint.write()
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
      try checkpoint.remove(name)
    }
    try checkpoint.set([
      "architectures": nil, "model_type": nil, "layer_norm_eps": nil, "pad_token_id": nil,
      "position_embedding_type": nil, "use_cache": nil, "torch_dtype": nil,
      "transformers_version": nil, "tie_word_embeddings": nil, "classifier_dropout": nil,
      "gradient_checkpointing": nil,
    ])
    let outputs = try TemporaryFolder()
    let output = outputs.path("out.gguf")
    let result = try Tool.run(["convert", checkpoint.path, "-o", output, "--json"])
    #expect(result.status == 0, "\(result.output)")
    let notes = try object(result).member("notes").array().map { (note) throws in
      try note.string()
    }
    #expect(notes.contains { $0.contains("names neither architecture nor model_type") })
    #expect(notes.contains { $0.contains("not lowercased") })
    // The weights are those of the folder with all its files.
    let whole = outputs.path("whole.gguf")
    #expect(try Tool.run(["convert", TinyModels.path("bert-cased"), "-o", whole]).status == 0)
    #expect(try tensorBytes(output) == (try tensorBytes(whole)))
    // As it came, in a pickle, it is refused with what to do.
    try checkpoint.remove("model.safetensors")
    try Data([0x80, 2]).write(to: URL(fileURLWithPath: checkpoint.folder.path("pytorch_model.bin")))
    let pickle = try Tool.run(["inspect", checkpoint.path, "--json"])
    #expect(pickle.status == 3)
    let error = try object(pickle).member("error")
    #expect(try error.member("code").string() == "checkpoint.noWeights")
    #expect(try error.member("advice").string().contains("save_pretrained"))
  }
}
