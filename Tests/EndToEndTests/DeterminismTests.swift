import Foundation
import Testing
import TinctureTestSupport

/// The same input and recipe give the same bytes, whatever the machine does.
@Suite struct DeterminismTests {
  /// Threads, memory and instruction sets that must not matter. The small budget holds one worker's buffers only.
  static let circumstances: [(threads: Int, memory: String, isa: String?)] = {
    var all: [(threads: Int, memory: String, isa: String?)] = []
    for threads in [1, 2, 7] {
      for memory in ["2M", "1G"] {
        for isa in ["scalar", nil] { all.append((threads, memory, isa)) }
      }
    }
    return all
  }()

  @Test(arguments: ["q8_0", "q4_0", "q4_k_m", "iq4_nl", "f16", "bf16"])
  func oneDigest(recipe: String) throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    var digests: Set<String> = []
    for (threads, memory, isa) in Self.circumstances {
      let output = folder.path("out.gguf")
      let result = try Tool.run(
        [
          "quantize", source, "-o", output, "--recipe", recipe, "--threads", "\(threads)",
          "--memory", memory, "--force", "--quiet",
        ], environment: isa.map { ["TINCTURE_ISA": $0] } ?? [:])
      #expect(result.status == 0, "\(threads) \(memory) \(isa ?? "best"): \(result.errors)")
      digests.insert(Digest.sha256(try bytes(output)))
    }
    #expect(digests.count == 1, "\(digests)")
  }

  @Test(arguments: TinyModels.names)
  func checkpointsToo(name: String) throws {
    let folder = try TemporaryFolder()
    var outputs: Set<Data> = []
    for threads in [1, 7] {
      let output = folder.path("\(threads).gguf")
      let result = try Tool.run([
        "quantize", TinyModels.path(name), "-o", output, "--recipe", "q4_k_m", "--threads",
        "\(threads)", "--quiet",
      ])
      #expect(result.status == 0, "\(result.errors)")
      outputs.insert(try bytes(output))
    }
    #expect(outputs.count == 1)
  }

  @Test func digestIsSHA256() {
    // FIPS 180-4, examples.
    #expect(
      Digest.sha256(Array("abc".utf8))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      Digest.sha256([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }
}
