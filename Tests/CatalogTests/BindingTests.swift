import Foundation
import Testing
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// The coverage ledger: every source tensor is written, left out by a rule, or an error.
@Suite struct BindingTests {
  static func info(_ name: String, _ shape: [Int], _ type: ElementType = .bf16) throws -> TensorInfo
  {
    let shape = try #require(Shape(checking: shape))
    return TensorInfo(
      name: name, type: .element(type), shape: shape, fileIndex: 0, byteOffset: 0,
      byteCount: UInt64(shape.elementCount * type.byteCount))
  }

  /// The tensors of ``ConfigTests/llama`` under `prefix`.
  static func llama(_ prefix: String = "model.") throws -> [TensorInfo] {
    var tensors = [
      try info(prefix + "embed_tokens.weight", [100, 64]), try info(prefix + "norm.weight", [64]),
      try info("lm_head.weight", [100, 64]),
    ]
    for layer in 0..<2 {
      let place = prefix + "layers.\(layer)."
      for (name, shape) in [
        ("input_layernorm", [64]), ("self_attn.q_proj", [64, 64]), ("self_attn.k_proj", [32, 64]),
        ("self_attn.v_proj", [32, 64]), ("self_attn.o_proj", [64, 64]),
        ("post_attention_layernorm", [64]), ("mlp.gate_proj", [128, 64]),
        ("mlp.up_proj", [128, 64]),
        ("mlp.down_proj", [64, 128]),
      ] { tensors.append(try info(place + name + ".weight", shape)) }
    }
    return tensors
  }

  static func bind(_ tensors: [TensorInfo], _ change: String = "") throws -> [CanonicalTensor] {
    let ledger = try ConfigTests.ledger(ConfigTests.llama, change)
    var binding = Binding(
      architecture: ledger.architecture, hyperparameters: ledger.hyperparameters,
      conditions: ledger.conditions, queryFactor: ledger.queryFactor,
      rotaryFactors: ledger.rotaryFactors, configPath: "config.json")
    try binding.claim(tensors)
    return try binding.canonicalTensors(tokenCount: 100)
  }

  @Test(arguments: ["model.", "", "base_model.model.model.", "_orig_mod.module.model."])
  func prefixes(_ prefix: String) throws {
    let tensors = try Self.bind(try Self.llama(prefix))
    #expect(tensors.count == 21)
    #expect(tensors.contains { $0.name == "blk.1.ffn_down.weight" && $0.role == .ffnDown })
  }

  private func failure(_ tensors: [TensorInfo], _ change: String = "") throws -> TinctureError {
    try #require(throws: TinctureError.self) { _ = try Self.bind(tensors, change) }
  }

  @Test func unknownTensorsAreNamed() throws {
    let extra = try Self.info("model.layers.0.self_attn.q_proj.lora_A.weight", [8, 64])
    let error = try failure(Self.llama() + [extra])
    #expect(error.code.name == "tensors.unknown")
    #expect(error.found == extra.name)
  }

  @Test func missingTensorsAreNamed() throws {
    let error = try failure(Self.llama().filter { !$0.name.contains("1.mlp.up_proj") })
    #expect(error.code.name == "tensors.missing")
    #expect(error.expected == "layers.1.mlp.up_proj.weight")
  }

  @Test func oneTensorTwice() throws {
    let error = try failure(Self.llama() + [Self.info("norm.weight", [64])])
    #expect(error.code.name == "tensors.twice")
    #expect(error.found == "model.norm.weight and norm.weight")
  }

  @Test func shapesAndLayersMustFitTheConfig() throws {
    // config.json says 100 rows.
    let rows = try Self.llama().map {
      $0.name.contains("embed") ? try Self.info($0.name, [101, 64]) : $0
    }
    #expect(try failure(rows).code.name == "tensors.shape")
    #expect(try failure(Self.llama(), #""num_hidden_layers": 1"#).code.name == "tensors.layer")
  }

  @Test func otherTypesAreRefused() throws {
    for type in [ElementType.f8e4m3, .i8] {
      let tensors = try Self.llama().map {
        $0.name.contains("up_proj") ? try Self.info($0.name, [128, 64], type) : $0
      }
      let error = try failure(tensors)
      #expect(error.code.name == "tensors.type")
      #expect(error.place.tensor == "model.layers.0.mlp.up_proj.weight")
    }
  }

  @Test func aTiedHeadIsLeftOutAndBiasesAreAskedFor() throws {
    let tied = try Self.bind(Self.llama(), #""tie_word_embeddings": true"#)
    #expect(!tied.contains { $0.role == .output })
    #expect(try failure(Self.llama(), #""attention_bias": true"#).code.name == "tensors.missing")
    let bias = try Self.info("model.layers.0.self_attn.q_proj.bias", [64])
    #expect(try failure(Self.llama() + [bias]).code.name == "tensors.unknown")
  }

  @Test func llama3FactorsAreComputed() throws {
    let tensors = try Self.bind(
      Self.llama(),
      #""rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#
    )
    let factors = try #require(tensors.first { $0.role == .ropeFactors })
    #expect(factors.name == "rope_freqs.weight")
    #expect(factors.shape.dimensions == [8])
    guard case .values(let values) = factors.expression.pieces.first else {
      Issue.record("no values")
      return
    }
    #expect(values.first == 1 && values.last == 8)
  }
}

@Suite struct CanonicalViewTests {
  /// Rows of one tensor whose element [r, c] is 10·r + c, made by `expression`.
  private func rows(
    _ shape: [Int], source: [Int], _ order: RowExpression.RowOrder, scale: Float = 1,
    add: Float = 0,
    kept: Int? = nil, padding: Int = 0
  ) throws -> [Float] {
    let sourceShape = try #require(Shape(checking: source))
    let length = sourceShape.rowLength
    var bytes: [UInt8] = []
    for row in 0..<sourceShape.rowCount {
      for column in 0..<length {
        bytes += withUnsafeBytes(of: Float(10 * row + column).bitPattern.littleEndian) { Array($0) }
      }
    }
    let info = TensorInfo(
      name: "t", type: .element(.f32), shape: sourceShape, fileIndex: 0, byteOffset: 0,
      byteCount: UInt64(bytes.count))
    let memory = Memory(tensors: [info], files: [InputFile(memory: bytes, name: "memory")])
    var pieces: [RowExpression.Piece] = [
      .source(
        SourceTensor(info), firstRow: 0, rowCount: kept ?? sourceShape.rowCount, order: order,
        scale: scale, add: add)
    ]
    if padding > 0 { pieces.append(.constant(0, rowCount: padding)) }
    let tensor = CanonicalTensor(
      name: "t", shape: try #require(Shape(checking: shape)), role: .other, layer: nil,
      expression: RowExpression(pieces: pieces))
    var values = [Float](repeating: .nan, count: tensor.shape.elementCount)
    let size = CanonicalView.scratchByteCount(tensor, rowCount: tensor.shape.rowCount)
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 16, alignment: 64)
    defer { scratch.deallocate() }
    try values.withUnsafeMutableBufferPointer { buffer in
      try CanonicalView(memory).rows(
        of: tensor, 0..<tensor.shape.rowCount, into: #require(buffer.baseAddress), scratch: scratch)
    }
    return values
  }

  struct Memory: TensorSource {
    var tensors: [TensorInfo]
    var files: [InputFile]
  }

  @Test func halvesOfEachHeadAreInterleaved() throws {
    // Two heads of four rows: 0 2 1 3 of each.
    let firsts = try rows([8, 2], source: [8, 2], .interleavedRotary(heads: 2))
    #expect(stride(from: 0, to: 16, by: 2).map { firsts[$0] } == [0, 20, 10, 30, 40, 60, 50, 70])
  }

  @Test func elementsOfAVectorAreInterleaved() throws {
    let values = try rows([8], source: [8], .interleavedRotary(heads: 2))
    #expect(values == [0, 2, 1, 3, 4, 6, 5, 7])
  }

  @Test func numbersAreScaledThenShifted() throws {
    #expect(try rows([1, 3], source: [1, 3], .identity, scale: 0.5, add: 0.5) == [0.5, 1, 1.5])
    #expect(try rows([3], source: [3], .identity, add: 1) == [1, 2, 3])
  }

  @Test func rowsAreCutAndPadded() throws {
    #expect(try rows([2, 1], source: [3, 1], .identity, kept: 2) == [0, 10])
    #expect(try rows([3, 1], source: [2, 1], .identity, padding: 1) == [0, 10, 0])
  }

  @Test func copiesAreToldFromMakings() throws {
    let model = try PlanTests.bound("gemma3")
    let norm = try #require(model.tensors.first { $0.role == .norm })
    let down = try #require(model.tensors.first { $0.role == .ffnDown })
    #expect(CanonicalView.isRawCopy(down, as: .bf16))
    #expect(!CanonicalView.isRawCopy(down, as: .f16))
    #expect(!CanonicalView.isRawCopy(norm, as: .bf16), "a norm is shifted by one")
  }

  @Test func foldedRowsAreTheCheckpointsTimesTheFactor() throws {
    // query_pre_attn_scalar 24 with heads of 32: sqrt(32 / 24).
    let model = try PlanTests.bound("gemma2-scale")
    let query = try #require(model.tensors.first { $0.name == "blk.0.attn_q.weight" })
    guard case .source(let source, _, _, _, let scale, let add) = query.expression.pieces.first
    else {
      Issue.record("no source")
      return
    }
    #expect(abs(Double(scale) - (32.0 / 24.0).squareRoot()) < 1e-7 && add == 0)
    #expect(source.info.name == "model.layers.0.self_attn.q_proj.weight")
    #expect(model.notes.contains { $0.contains("query_pre_attn_scalar") })
  }
}
