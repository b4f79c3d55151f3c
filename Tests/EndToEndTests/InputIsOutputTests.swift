import Foundation
import Testing
import TinctureContainers
import TinctureTestSupport

/// An output never lands on an input, by whatever name.
@Suite struct InputIsOutputTests {
  struct Case: Sendable, CustomStringConvertible {
    let description: String
    /// Makes the output's name out of the source's path in a fresh folder.
    let output: @Sendable (_ folder: String, _ source: String) throws -> String
  }

  static let cases: [Case] = [
    Case(description: "the input itself") { _, source in source },
    Case(description: "another spelling of its path") { folder, _ in folder + "/./in.gguf" },
    Case(description: "a hard link") { folder, source in
      try FileManager.default.linkItem(atPath: source, toPath: folder + "/hard.gguf")
      return folder + "/hard.gguf"
    },
    Case(description: "a symbolic link") { folder, source in
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/soft.gguf", withDestinationPath: source)
      return folder + "/soft.gguf"
    },
    Case(description: "a name whose partial file is the input") { folder, source in
      try FileManager.default.linkItem(atPath: source, toPath: folder + "/x.gguf.partial")
      return folder + "/x.gguf"
    },
  ]

  @Test(arguments: cases) func refused(each: Case) throws {
    let folder = try TemporaryFolder()
    let source = folder.path("in.gguf")
    try SyntheticModel.tiny.write(to: source)
    let before = try bytes(source)
    let output = try each.output(folder.path, source)
    let listing = try names(folder.path)
    let result = try Tool.run([
      "quantize", source, "-o", output, "--recipe", "q8_0", "--force", "--json",
    ])
    #expect(result.status == 5, "\(result.output)")
    #expect(try object(result).member("error").member("code").string() == "output.isInput")
    #expect(try bytes(source) == before)
    #expect(try names(folder.path) == listing)
  }

  @Test func checkpointFilesAreInputs() throws {
    let folder = try TemporaryFolder()
    let copy = folder.path("model")
    try FileManager.default.copyItem(atPath: TinyModels.path("embedding-gemma"), toPath: copy)
    for name in [
      "config.json", "tokenizer.json", "model.safetensors", "1_Pooling/config.json",
      "2_Dense/model.safetensors",
    ] {
      let before = try bytes(copy + "/" + name)
      let result = try Tool.run(["convert", copy, "-o", copy + "/" + name, "--force", "--json"])
      #expect(result.status == 5, "\(name) \(result.output)")
      #expect(try bytes(copy + "/" + name) == before)
    }
    // A GGUF beside the checkpoint is where people put it.
    let result = try Tool.run(["convert", copy, "-o", copy + "/model.gguf"])
    #expect(result.status == 0, "\(result.errors)")
  }

  @Test func existingOutputNeedsForce() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    try Data("mine".utf8).write(to: URL(fileURLWithPath: output))
    let refused = try Tool.run(["quantize", source, "-o", output, "--recipe", "q8_0", "--json"])
    #expect(refused.status == 5)
    #expect(try object(refused).member("error").member("code").string() == "file.exists")
    #expect(try bytes(output) == Data("mine".utf8))
    let forced = try Tool.run(["quantize", source, "-o", output, "--recipe", "q8_0", "--force"])
    #expect(forced.status == 0, "\(forced.errors)")
    #expect(try bytes(output).starts(with: Data("GGUF".utf8)))
    #expect(try names(folder.path) == ["out.gguf"])
  }

  /// A link that leads nowhere is found before the work, not after it.
  @Test func danglingLink() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    try FileManager.default.createSymbolicLink(
      atPath: output, withDestinationPath: folder.path("nothing"))
    let words = ["quantize", source, "-o", output, "--recipe", "q8_0", "--json"]
    let refused = try Tool.run(words)
    #expect(try object(refused).member("error").member("code").string() == "file.exists")
    #expect(try Tool.run(words + ["--force"]).status == 0)
    #expect(try names(folder.path) == ["out.gguf"])
    #expect(try GGUFFile.open(output).tensors.count == SyntheticModel().tensors.count)
  }

  @Test func dryRunWritesNothing() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let words = ["quantize", source, "-o", output, "--recipe", "q4_k_m", "--json"]
    let dry = try Tool.run(words + ["--dry-run"])
    #expect(dry.status == 0, "\(dry.output)")
    #expect(try names(folder.path) == [])
    let promised = try object(dry).member("plan").member("byteCount").int()
    #expect(try object(dry).member("written").bool() == false)
    #expect(try Tool.run(words).status == 0)
    #expect(try bytes(output).count == promised)
    // It sees an existing output as the real run would.
    #expect(try Tool.run(words + ["--dry-run"]).status == 5)
  }
}
