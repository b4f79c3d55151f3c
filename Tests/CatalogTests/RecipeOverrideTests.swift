import Testing
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

@Suite("Choices of the user, reasons, tensors that stay floats")
struct RecipeOverrideTests {
  static func tensors(stored: StoredType? = nil) -> [RecipeAssignment.Tensor] {
    var tensors = [
      RecipeAssignment.Tensor(
        name: "token_embd.weight", role: .tokenEmbedding, layer: nil, shape: Shape(1000, 640),
        stored: stored),
      RecipeAssignment.Tensor(
        name: "output_norm.weight", role: .norm, layer: nil, shape: Shape(640), stored: stored),
    ]
    for layer in 0..<16 {
      for (name, role, rows, length) in [
        ("attn_v", Role.attnV, 256, 640), ("ffn_down", .ffnDown, 640, 2048),
      ] {
        tensors.append(
          .init(
            name: "blk.\(layer).\(name).weight", role: role, layer: layer,
            shape: Shape(rows, length), stored: stored))
      }
      tensors.append(
        .init(
          name: "blk.\(layer).attn_v_norm.weight", role: .norm, layer: layer, shape: Shape(256),
          stored: stored))
    }
    return tensors
  }

  static func assign(
    _ recipe: String, _ overrides: TypeOverrides = TypeOverrides(),
    tensors: [RecipeAssignment.Tensor] = tensors()
  ) throws -> [String: TypeChoice] {
    let choices = try RecipeAssignment.assign(
      architecture: "gemma3", layerCount: 16, headCount: 4, keyValueHeadCount: 1,
      tensors: tensors, recipe: try Recipe.named(recipe), overrides: overrides,
      hasImportance: false)
    #expect(choices.map(\.tensor) == tensors.map(\.name))
    return Dictionary(uniqueKeysWithValues: choices.map { ($0.tensor, $0) })
  }

  static func failure(_ overrides: TypeOverrides, _ recipe: String = "q4_k_m") -> TinctureError? {
    RecipeTests.failure { _ = try assign(recipe, overrides) }
  }

  @Test func reasons() throws {
    let choices = try Self.assign("q4_k_m")
    let expected = [
      "token_embd.weight":
        "token embedding which is also the output head: Q6_K; "
        + "row length 640 is no multiple of 256: Q8_0 in place of Q6_K",
      "output_norm.weight": "norm, never quantized: F32",
      "blk.0.ffn_down.weight": "ffn_down in the first eighth of layers: Q6_K",
      "blk.4.ffn_down.weight": "ffn_down in every third layer between: Q6_K",
      "blk.15.ffn_down.weight": "ffn_down in the last eighth of layers: Q6_K",
      "blk.2.ffn_down.weight": "ffn_down, default of q4_k_m: Q4_K",
      "blk.2.attn_v.weight":
        "attn_v, default of q4_k_m: Q4_K; row length 640 is no multiple of 256: Q5_0 in place of Q4_K",
    ]
    for (name, reason) in expected { #expect(choices[name]?.reason == reason) }
    let chosen = try Self.assign(
      "q4_k_m",
      TypeOverrides(tensorTypes: [("attn_v", .q8_0)], output: .q5_1))
    #expect(chosen["blk.3.attn_v.weight"]?.reason == "--tensor-type attn_v=Q8_0")
    #expect(
      chosen["token_embd.weight"]?.reason
        == "token embedding, which is also the output head: --output-type Q5_1")
  }

  @Test func normsStayFloats() throws {
    // The pattern is found in the norms' names too.
    let overrides = TypeOverrides(tensorTypes: [("attn_v", .q8_0)])
    #expect(try Self.assign("q4_0", overrides)["blk.3.attn_v_norm.weight"]?.format == .f32)
    // A GGUF source's matrices that stay floats stay as they are; vectors become F32, without which llama.cpp ends at
    // them.
    let halves = Self.tensors(stored: .element(.f16))
    let norm = try Self.assign("q4_0", tensors: halves)["output_norm.weight"]
    #expect(norm?.format == .f32 && norm?.reason.hasSuffix("(F16 in the source)") == true)
    #expect(try Self.assign("bf16", tensors: halves)["blk.0.attn_v.weight"]?.format == .bf16)
  }

  @Test func rowsOfOneAndNamesWithoutWeight() throws {
    func choice(
      _ recipe: String, _ name: String, _ shape: Shape, stored: StoredType?
    ) throws -> BlockFormat? {
      try Self.assign(
        recipe, tensors: [.init(name: name, role: .other, layer: nil, shape: shape, stored: stored)]
      )[
        name]?.format
    }
    let row = Shape(1, 512)
    #expect(try choice("q8_0", "cls.weight", Shape(2, 512), stored: nil) == .q8_0)
    #expect(try choice("q8_0", "cls.weight", row, stored: nil) == .f32)
    #expect(try choice("q8_0", "cls.weight", row, stored: .element(.bf16)) == .bf16)
    #expect(try choice("f16", "cls.weight", row, stored: nil) == .f16)
    #expect(try choice("f16", "cls.weight", row, stored: .element(.bf16)) == .bf16)
    #expect(try choice("q8_0", "cls.table", Shape(2, 512), stored: nil) == .f32)
    #expect(try choice("q8_0", "cls.table", Shape(2, 512), stored: .element(.i32))?.name == "I32")
  }

  @Test func overridesWorkWithFloatRecipes() throws {
    let choices = try Self.assign(
      "bf16", TypeOverrides(tensorTypes: [("down", .q8_0)], output: .f16))
    #expect(choices["blk.1.ffn_down.weight"]?.format == .q8_0)
    #expect(choices["blk.1.attn_v.weight"]?.format == .bf16)
    #expect(choices["token_embd.weight"]?.format == .f16)
  }

  @Test(
    "an override that cannot be is an error",
    arguments: [
      (
        TypeOverrides(tensorTypes: [("attn_z", .q8_0)]), "override.unused",
        "no tensor with such a name"
      ),
      (
        TypeOverrides(tensorTypes: [("_norm", .q8_0)]), "override.unused",
        "it matches only tensors that are never quantized, such as output_norm.weight"
      ),
      (
        TypeOverrides(tensorTypes: [("attn_v", .q8_0), (#"blk\.0\.attn_v"#, .q5_0)]),
        "override.unused",
        "other choices come first for all 1 tensors it matches"
      ),
      (
        TypeOverrides(tensorTypes: [("token_embd", .q8_0)], embedding: .q5_0), "override.unused",
        "other choices come first for all 1 tensors it matches"
      ),
      (
        TypeOverrides(output: .q8_0, embedding: .q5_0), "override.unused",
        "the model has no output head, or another choice comes first for it"
      ),
      (TypeOverrides(tensorTypes: [("attn_v", .q6_K)]), "override.rowLength", "640"),
      (TypeOverrides(embedding: .q4_K), "override.rowLength", "640"),
    ])
  func impossible(overrides: TypeOverrides, code: String, found: String) throws {
    for recipe in ["q4_k_m", "f16"] {
      let error = try #require(Self.failure(overrides, recipe))
      #expect(error.code.name == code)
      #expect(error.found == found)
      #expect(ExitStatus(error.code.kind) == .usage)
    }
  }

  @Test func rowLengthErrorNamesTheTensorAndAWayOut() throws {
    let error = try #require(Self.failure(TypeOverrides(tensorTypes: [("attn_v", .q6_K)])))
    #expect(error.place.tensor == "blk.0.attn_v.weight")
    #expect(error.expected == "a row length that is a multiple of 256")
    #expect(error.advice?.contains("Q8_0") == true)
  }

  @Test func unwritableFormat() throws {
    let format = try #require(BlockFormat.named("IQ2_XS"))
    let error = try #require(Self.failure(TypeOverrides(embedding: format)))
    #expect(error.code.name == "override.format")
  }

  @Test(
    "words of --tensor-type",
    arguments: [
      ("attn_v", "override.syntax"), ("=q8_0", "override.syntax"), ("attn_v=", "override.format"),
      ("attn_v=q9", "override.format"), ("attn_v=iq2_xs", "override.format"),
      ("a=b=q8_0", "override.format"),
    ])
  func words(_ words: String, code: String) throws {
    let error = try #require(RecipeTests.failure { _ = try TypeOverrides.tensorType(words) })
    #expect(error.code.name == code)
    #expect(ExitStatus(error.code.kind) == .usage)
  }

  @Test(
    "wrong patterns",
    arguments: [
      ("", 0), ("(", 1), (")", 0), ("a)", 1), ("[a", 2), ("a**", 2), ("*a", 0), ("a{", 2),
      ("a{2", 3), ("a{3,2}", 6),
      ("a{1001}", 5), ("a{,2}", 2), ("[b-a]", 4), ("(?=a)", 2), (#"(a)\1"#, 4), ("[[:alpha:]]", 2),
      ("a\\", 2), ("^*", 2),
      (String(repeating: "(", count: 60), 51), (String(repeating: "a", count: 1001), 0),
      ("a{900}{900}", 6),
      ("(((a{99}){99}){99}){99}", nil),
    ] as [(String, UInt64?)])
  func wrongPattern(_ text: String, offset: UInt64?) throws {
    let error = try #require(RecipeTests.failure { _ = try TensorPattern(text) })
    #expect(error.code.name == "override.pattern")
    #expect(error.place.byteOffset == nil, "the pattern is no file")
    if let offset { #expect(error.found == "at character \(offset + 1)", "\(text)") }
  }

  @Test(
    "patterns that llama-quantize reads otherwise, or that backtracking cannot do",
    arguments: [
      (#"\D\.attn"#, "blk.x.attn", true), (#"\D\.attn"#, "blk.1.attn", false),
      (#"\W"#, "a.b", true),
      (#"\W"#, "ab", false), (#"^\S+$"#, "a b", false), (#"a\Bb"#, "ab", true),
      (#"a\B"#, "a.b", false),
      ("(a*)*b", LongText(String(repeating: "a", count: 5000)), false),
      ("(a|a)+$", LongText(String(repeating: "a", count: 5000) + "b"), false),
      ("[^A]", "a", false), ("[Z-a]", "_", true), ("a{0}b", "b", true), ("^a{2,3}$", "aaaa", false),
      ("[]a", "a", false),
    ] as [(String, LongText, Bool)])
  func finds(_ text: String, _ name: LongText, _ found: Bool) throws {
    #expect(try TensorPattern(text).isFound(in: name.text) == found, "\(text)")
  }

  /// A source that is no GGUF.
  struct Checkpoint: TensorSource {
    let tensors: [TensorInfo]
    let files: [InputFile] = []
  }

  @Test func aBoundModelOfACheckpointAndOfAGGUF() throws {
    let shapes = [
      ("token_embd.weight", Role.tokenEmbedding, Shape(4, 256)),
      ("output_norm.weight", .norm, Shape(256)),
    ]
    let layout = try GGUFLayout(
      metadata: [("general.architecture", .string("gemma3"))],
      tensors: shapes.map { .init(name: $0.0, type: .element(.f16), shape: $0.2) })
    var bytes = layout.header
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    let gguf = try GGUFFile(path: "x.gguf", files: [InputFile(memory: bytes, name: "x.gguf")])
    for source in [gguf as any TensorSource, Checkpoint(tensors: gguf.tensors)] {
      let model = BoundModel(
        architecture: "gemma3", layerCount: 1, headCount: 1, keyValueHeadCount: 1,
        tensors: zip(shapes, source.tensors).map { row, info in
          CanonicalTensor(
            name: row.0, shape: row.2, role: row.1, layer: nil,
            expression: RowExpression(pieces: [
              .source(
                SourceTensor(info), firstRow: 0, rowCount: row.2.rowCount, order: .identity,
                scale: 1, add: 0)
            ]))
        },
        metadata: [], coverage: [], notes: [], source: source)
      let choices = try RecipeAssignment.assign(
        model: model, recipe: try Recipe.named("q4_k_m"), hasImportance: false)
      #expect(choices.map(\.format) == [.q6_K, .f32])
      #expect(choices[1].reason.hasSuffix("(F16 in the source)") == (source is GGUFFile))
    }
  }
}
