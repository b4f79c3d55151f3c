import Foundation
import Testing
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// A made-up model and room for outputs, made once for all tests that only read it.
final class Fixture: Sendable {
  static let shared: Fixture? = try? Fixture()

  let folder: TemporaryFolder
  /// A BF16 GGUF of a few megabytes.
  let source: String

  init() throws {
    folder = try TemporaryFolder()
    source = folder.path("source.gguf")
    try SyntheticModel().write(to: source)
  }
}

func fixture() throws -> Fixture {
  try #require(Fixture.shared, "the made-up model was not written")
}

/// The tiny checkpoints of `golden/models`.
enum TinyModels {
  static let names: [String] = {
    let folder = Repository.path("golden/models")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { FileManager.default.fileExists(atPath: "\(folder)/\($0)/config.json") }
      .sorted()
  }()

  static func path(_ name: String) -> String { Repository.path("golden/models/" + name) }
}

func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

/// Names in a folder, sorted.
func names(_ folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
}

/// The parsed JSON object a run printed.
func object(_ result: Tool.Result) throws -> JSON {
  try JSON.parse(result.outputBytes, file: "standard output")
}

/// The stored bytes of each tensor of a GGUF file, by name.
func tensorBytes(_ path: String) throws -> [String: [UInt8]] {
  let file = try GGUFFile.open(path)
  var found: [String: [UInt8]] = [:]
  for tensor in file.tensors {
    found[tensor.name] = try file.files[tensor.fileIndex].bytes(
      at: tensor.byteOffset, count: Int(tensor.byteCount))
  }
  return found
}
