import Foundation
import Testing
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// Tensors without weights: names, types and shapes of a published checkpoint (golden/headers).
struct HeaderSource: TensorSource {
  var tensors: [TensorInfo] = []
  var files: [InputFile] { [] }
  var config: CheckpointConfig

  init(_ name: String) throws {
    let bytes = [UInt8](try Repository.contents("golden/headers/\(name).json"))
    let root = try JSON.parse(bytes, file: name)
    config = try CheckpointConfig(root.member("config"))
    for entry in try root.member("tensors").array() {
      let pattern = try entry.member("name").string()
      let type = try #require(
        ElementType(rawValue: try entry.member("dtype").string().lowercased()), "\(pattern)")
      let shape = try #require(
        Shape(checking: try entry.member("shape").array().map { try $0.int() }))
      let layers = try entry.present("layers")?.int()
      for layer in 0..<(layers ?? 1) {
        tensors.append(
          TensorInfo(
            name: pattern.replacingOccurrences(of: "{i}", with: "\(layer)"), type: .element(type),
            shape: shape, fileIndex: 0, byteOffset: 0,
            byteCount: UInt64(shape.elementCount * type.byteCount)))
      }
    }
  }
}

@Suite struct HeaderTests {
  static let names: [String] = {
    let files = (try? Repository.files(in: "golden/headers", suffix: ".json")) ?? []
    return files.map { String($0.dropFirst("golden/headers/".count).dropLast(".json".count)) }
  }()

  @Test func thereAreHeaders() { #expect(Self.names.count >= 18) }

  @Test(arguments: names) func everyPublishedCheckpointBinds(_ name: String) throws {
    let source = try HeaderSource(name)
    var notes: [String] = []
    let architecture = try Architecture.matching(source.config, source: source, notes: &notes)
    let ledger = try EngineLedger(architecture, source.config)
    var binding = Binding(
      architecture: architecture, hyperparameters: ledger.hyperparameters,
      conditions: ledger.conditions, queryFactor: ledger.queryFactor,
      rotaryFactors: ledger.rotaryFactors, configPath: nil)
    // The dense modules stand in files of their own.
    let own = source.tensors.filter { !$0.name.contains("/") }
    try binding.claim(own)
    let tensors = try binding.canonicalTensors(tokenCount: binding.embeddingRows())
    #expect(binding.coverage.count == own.count)
    let layers = try #require(ledger.hyperparameters.integer(.layers))
    for layer in 0..<layers {
      #expect(tensors.contains { $0.layer == layer && $0.role == .ffnDown })
    }
    #expect(ledger.queryFactor == 1, "published models need no fold")
    let written = binding.coverage.count { if case .written = $0.outcome { true } else { false } }
    let computed = tensors.count { $0.role == .ropeFactors }
    #expect(written == tensors.count - computed)
    #expect(try !ledger.metadata().isEmpty)
  }

  @Test func theTwentySevenBillionScaleIsTheEngines() throws {
    let source = try HeaderSource("medgemma-27b-it")
    var notes: [String] = []
    let architecture = try Architecture.matching(source.config, source: source, notes: &notes)
    let ledger = try EngineLedger(architecture, source.config)
    // 5376 / 32 = 168 = query_pre_attn_scalar, though the head size is 128.
    #expect(ledger.queryFactor == 1)
    #expect(ledger.hyperparameters.integer(.headSize) == 128)
  }
}
