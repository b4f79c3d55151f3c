import Foundation
import Testing
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore
import TinctureTestSupport

/// `golden/plans/selections.json`: what llama-quantize chooses (tools/golden/selections.py).
struct Selections {
  struct Model {
    var json: JSON
    var name: String
    var tensors: [RecipeAssignment.Tensor]
  }

  var models: [Model] = []
  var overrides: [JSON] = []
  var patterns: [(pattern: String, found: Set<String>)] = []
  var patternModel = ""
  private var formats: [UInt8: BlockFormat] = [:]

  static let shared = Result { try Selections() }

  init() throws {
    let bytes = [UInt8](try Repository.contents("golden/plans/selections.json"))
    let json = try JSON.parse(bytes, file: "selections.json")
    for (name, letter) in try json.member("letters").object() {
      let text = try name.string()
      let format = BlockFormat.named(text)
      let byte = try #require(try letter.stringBytes().first)
      formats.updateValue(try #require(format), forKey: byte)
    }
    for model in try json.member("models").array() {
      let tensors = try model.member("tensors").array().map { row in
        let cells = Array(try row.array())
        let name = try cells[0].string()
        let dimensions = try cells.dropFirst().map { try $0.int() }
        // The files llama-quantize was given: BF16 matrices, everything else F32.
        let isMatrix =
          dimensions.count > 1 && !["position_embd.weight", "token_types.weight"].contains(name)
        return RecipeAssignment.Tensor(
          name: name, role: try #require(Self.role(name), "\(name)"), layer: Self.layer(name),
          shape: try #require(Shape(checking: dimensions.reversed())),
          stored: .element(isMatrix ? .bf16 : .f32))
      }
      models.append(Model(json: model, name: try model.member("name").string(), tensors: tensors))
    }
    overrides = Array(try json.member("overrides").array())
    let found = try json.member("patterns")
    patternModel = try found.member("model").string()
    for (pattern, names) in try found.member("found").object() {
      patterns.append(
        (try pattern.string(), Set(try names.array().map { try $0.string() })))
    }
  }

  func format(_ letter: UInt8) throws -> BlockFormat { try #require(formats[letter]) }

  func model(_ name: String) throws -> Model { try #require(models.first { $0.name == name }) }

  static func layer(_ name: String) -> Int? {
    let parts = name.split(separator: ".")
    return parts.first == "blk" && parts.count > 1 ? Int(parts[1]) : nil
  }

  /// The role by GGUF name; nil for a name nobody thought of.
  static func role(_ name: String) -> Role? {
    let stem = name.split(separator: ".").dropLast().last.map(String.init) ?? ""
    if stem.hasSuffix("norm") { return .norm }
    if name.hasSuffix(".bias") { return .bias }
    let roles: [String: Role] = [
      "token_embd": .tokenEmbedding, "position_embd": .positionEmbedding,
      "token_types": .tokenTypeEmbedding, "output": .output, "attn_q": .attnQ, "attn_k": .attnK,
      "attn_v": .attnV, "attn_qkv": .attnQKV, "attn_output": .attnOutput, "ffn_gate": .ffnGate,
      "ffn_up": .ffnUp,
      "ffn_down": .ffnDown, "rope_freqs": .ropeFactors, "dense_2": .denseHead,
      "dense_3": .denseHead,
    ]
    return roles[stem]
  }
}

extension Selections.Model {
  func assign(
    _ recipe: Recipe, _ overrides: TypeOverrides = TypeOverrides(), importance: Bool = false
  ) throws -> [TypeChoice] {
    try RecipeAssignment.assign(
      architecture: try json.member("architecture").string(),
      layerCount: try json.member("layers").int(), headCount: try json.member("heads").int(),
      keyValueHeadCount: try json.member("keyValueHeads").int(), tensors: tensors, recipe: recipe,
      overrides: overrides, hasImportance: importance)
  }
}

@Suite("Recipes choose as llama-quantize does")
struct RecipeSelectionTests {
  static let names = """
    f32 f16 bf16 q8_0 q6_k q5_k_m q5_k_s q5_0 q5_1 q4_k_m q4_k_s q4_0 q4_1 iq4_nl iq4_xs \
    q3_k_l q3_k_m q3_k_s q2_k
    """.split(separator: " ").map(String.init)

  static func compare(
    _ choices: [TypeChoice], _ letters: [UInt8], _ golden: Selections, _ label: String
  ) throws {
    try #require(choices.count == letters.count, "\(label)")
    for (choice, letter) in zip(choices, letters) {
      let expected = try golden.format(letter)
      #expect(
        choice.format == expected,
        "\(label): \(choice.tensor) is \(expected.name) in llama-quantize; ours: \(choice.reason)")
      #expect(choice.reason.contains(choice.format.name), "\(choice.reason)")
    }
  }

  @Test(arguments: names)
  func everyTensorOfEveryModel(_ name: String) throws {
    let golden = try Selections.shared.get()
    let recipe = try Recipe.named(name)
    #expect(golden.models.count == 21)
    for model in golden.models {
      let rows = Array(try model.json.member("selections").member(name).array())
      for importance in [false, true] {
        // One row when an importance matrix changes nothing.
        let row = importance ? rows[rows.count - 1] : rows[0]
        try Self.compare(
          model.assign(recipe, importance: importance), row.stringBytes(), golden,
          "\(model.name) \(name)\(importance ? " with importance" : "")")
      }
    }
  }

  @Test(arguments: 0..<11)
  func overrides(_ index: Int) throws {
    let golden = try Selections.shared.get()
    #expect(golden.overrides.count == 11)
    let row = golden.overrides[index]
    var overrides = TypeOverrides()
    for (option, value) in try row.member("options").object() {
      switch try option.string() {
      case "tensor-type":
        for words in try value.array() {
          overrides.tensorTypes.append(try TypeOverrides.tensorType(try words.string()))
        }
      case "token-embedding-type":
        overrides.embedding = try TypeOverrides.format(value.string(), option: "--embedding-type")
      case "output-tensor-type":
        overrides.output = try TypeOverrides.format(value.string(), option: "--output-type")
      default: Issue.record("unknown option \(option.shortText)")
      }
    }
    let model = try golden.model(try row.member("model").string())
    let recipe = try Recipe.named(try row.member("recipe").string())
    try Self.compare(
      model.assign(recipe, overrides), row.member("types").stringBytes(), golden,
      "\(model.name) \(recipe.name) \(overrides)")
  }

  @Test func patterns() throws {
    let golden = try Selections.shared.get()
    let names = try golden.model(golden.patternModel).tensors
      .filter { !$0.role.isAlwaysFloat }.map(\.name)
    #expect(golden.patterns.count > 40)
    for (text, found) in golden.patterns {
      let pattern = try TensorPattern(text)
      #expect(Set(names.filter { pattern.isFound(in: $0) }) == found, "\(text)")
    }
  }
}
