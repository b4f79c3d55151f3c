import Testing
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureRuntime
import TinctureTestSupport

/// What is computed for a GGUF file whose keys are few or odd, as llama.cpp computes it.
@Suite struct GraphTests {
  private func graph(
    _ name: String, set: [(key: String, value: GGUFValue)] = [], drop: [String] = []
  ) throws -> Graph {
    let folder = Repository.path("golden/models/" + name)
    let model = try BoundModel.bind(source: SafetensorsCheckpoint.open(folder), folder: folder)
    let gone = Set(drop + set.map(\.key))
    let layout = try GGUFLayout(
      metadata: model.metadata.filter { !gone.contains($0.key) } + set,
      tensors: model.tensors.map {
        GGUFLayout.Request(name: $0.name, type: .element(.f32), shape: $0.shape)
      })
    let bytes =
      layout.header
      + [UInt8](repeating: 0, count: Int(layout.byteCount) - layout.header.count)
    let file = try GGUFFile(
      path: "model.gguf", files: [InputFile(memory: bytes, name: "model.gguf")])
    return try RuntimeModel(BoundModel.bind(gguf: file)).graph
  }

  /// llama.cpp src/models/gemma2.cpp sets rope_freq_scale_train_swa; gemma3.cpp leaves it at 1.
  @Test func windowedLayersOfGemma2AreScaledToo() throws {
    func scaled(_ name: String) throws -> Graph {
      try graph(
        name,
        set: [
          ("\(name).rope.scaling.type", .string("linear")),
          ("\(name).rope.scaling.factor", .float32(4)),
          ("\(name).rope.freq_base_swa", .float32(5000)),
        ])
    }
    let second = try scaled("gemma2")
    #expect(second.rotary?.scaling == .linear(4) && second.localRotary?.scaling == .linear(4))
    #expect(second.localRotary?.base == 5000)
    let third = try scaled("gemma3")
    #expect(third.rotary?.scaling == .linear(4))
    #expect(third.localRotary?.scaling == Rotary.Scaling.none)
  }

  /// golden/gguf/answers.json, "a range of YaRN": the key changes nothing.
  @Test func theRangeOfYaRNIsTheEngines() throws {
    let yarn: [(key: String, value: GGUFValue)] = [
      ("llama.rope.scaling.type", .string("yarn")), ("llama.rope.scaling.factor", .float32(2)),
    ]
    let plain = try graph("llama", set: yarn)
    let ranged = try graph(
      "llama", set: yarn + [("llama.rope.scaling.yarn_beta_fast", .float32(4))])
    #expect(plain.rotary == ranged.rotary && plain.rotary?.scaling != Rotary.Scaling.none)
  }

  /// The same file, "without attention.causal".
  @Test func anEncoderWithoutTheKeyAttendsBothWays() throws {
    #expect(try !graph("bert-uncased", drop: ["bert.attention.causal"]).isCausal)
  }
}
