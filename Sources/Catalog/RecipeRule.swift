import TinctureBlocks
import TinctureCore

/// What a recipe's conditions look at: the model, and one tensor's place among its kind.
package struct RecipeFacts: Sendable {
  /// llama.cpp's architecture name.
  package var architecture: String
  package var layerCount: Int
  package var headCount: Int
  package var keyValueHeadCount: Int
  /// Whether the token embedding is also the output head.
  package var isTied: Bool
  /// Whether the weights are quantized with an importance matrix.
  package var hasImportance: Bool
  /// How many tensors of the same kind come before this one, those named by `--tensor-type` left out.
  package var position: Int
  /// How many tensors of the same kind there are.
  package var positionCount: Int
}

/// A condition of a recipe's rule: the closed vocabulary of `when`.
///
/// Source: llama.cpp `src/llama-quant.cpp`, `llama_tensor_get_type_impl`; divisions round down, as there.
package enum RecipeCondition: String, Sendable, CaseIterable {
  /// The model has no output head of its own: the token embedding serves as one.
  case tied
  /// The first eighth of the layers, the last eighth and every third between (`use_more_bits`).
  case moreBits
  /// The first eighth of the layers.
  case firstEighth
  /// The first sixteenth of the layers.
  case firstSixteenth
  /// The first two layers.
  case firstTwo
  /// The first four layers.
  case firstFour
  /// Four or more query heads share a key/value head.
  case groupsOfFour
  /// A model that llama.cpp counts as 70B: Llama with 80 layers and shared key/value heads, or Qwen2 with
  /// 80 layers (`src/models/llama.cpp`, `src/models/qwen2.cpp`). Its attn_v is small beside attn_q and gets
  /// more bits.
  case seventyBillion
  /// An importance matrix is given.
  case importance
  /// No importance matrix is given.
  case noImportance

  /// Whether it asks for the tensor's place among the layers.
  package var isPosition: Bool {
    switch self {
    case .moreBits, .firstEighth, .firstSixteenth, .firstTwo, .firstFour: true
    case .tied, .groupsOfFour, .seventyBillion, .importance, .noImportance: false
    }
  }

  /// Whether it holds.
  package func holds(_ facts: RecipeFacts) -> Bool {
    let (position, count) = (facts.position, facts.positionCount)
    switch self {
    case .tied: return facts.isTied
    case .moreBits:
      return position < count / 8 || position >= 7 * count / 8 || (position - count / 8) % 3 == 2
    case .firstEighth: return position < count / 8
    case .firstSixteenth: return position < count / 16
    case .firstTwo: return position < 2
    case .firstFour: return position < 4
    case .groupsOfFour:
      return facts.keyValueHeadCount > 0 && facts.headCount / facts.keyValueHeadCount >= 4
    case .seventyBillion:
      switch facts.architecture {
      case "llama": return facts.layerCount == 80 && facts.headCount != facts.keyValueHeadCount
      case "qwen2": return facts.layerCount == 80
      default: return false
      }
    case .importance: return facts.hasImportance
    case .noImportance: return !facts.hasImportance
    }
  }

  /// The condition in words that follow the tensor's name, given that it holds.
  package func phrase(_ facts: RecipeFacts) -> String {
    switch self {
    case .tied: return "which is also the output head"
    case .moreBits:
      if facts.position < facts.positionCount / 8 { return "in the first eighth of layers" }
      if facts.position >= 7 * facts.positionCount / 8 { return "in the last eighth of layers" }
      return "in every third layer between"
    case .firstEighth: return "in the first eighth of layers"
    case .firstSixteenth: return "in the first sixteenth of layers"
    case .firstTwo: return "in the first two layers"
    case .firstFour: return "in the first four layers"
    case .groupsOfFour: return "shared by four or more query heads"
    case .seventyBillion: return "of a model of the 70B class"
    case .importance: return "with an importance matrix"
    case .noImportance: return "without an importance matrix"
    }
  }
}

/// One rule of a recipe: tensors of these roles get this format when all conditions hold.
public struct RecipeRule: Sendable {
  package let roles: [Role]
  package let conditions: [RecipeCondition]
  package let format: BlockFormat

  /// Whether the rule decides for a tensor of `role`.
  package func decides(_ role: Role, _ facts: RecipeFacts) -> Bool {
    roles.contains(role) && conditions.allSatisfy { $0.holds(facts) }
  }

  /// Why it chose its format: "attn_v in the first eighth of layers: Q6_K".
  package func reason(_ role: Role, _ facts: RecipeFacts) -> String {
    ([role.label] + conditions.map { $0.phrase(facts) }).joined(separator: " ") + ": "
      + format.name
  }

  /// Reads a rule.
  ///
  /// - Throws: `recipe.unknownKey`, `recipe.missing`, `recipe.type`, `recipe.role`, `recipe.condition`,
  ///   `recipe.format`, each with file and offset.
  package init(_ json: JSON) throws(TinctureError) {
    for (key, _) in try json.object() {
      let name = try key.string()
      guard ["roles", "when", "format"].contains(name) else {
        throw key.error(
          "unknownKey", "a rule has no member \"\(name)\"", expected: "roles, when or format")
      }
    }
    var roles: [Role] = []
    for node in try json.member("roles").array() {
      guard let role = Role(rawValue: try node.string()), !role.isAlwaysFloat else {
        throw node.error(
          "role", "not a role that is ever quantized",
          expected: Role.allCases.filter { !$0.isAlwaysFloat }.map(\.rawValue)
            .joined(separator: ", "), found: node.shortText)
      }
      guard !roles.contains(role) else { throw node.error("role", "the role is listed twice") }
      roles.append(role)
    }
    guard !roles.isEmpty else { throw json.error("role", "a rule needs a role") }
    var conditions: [RecipeCondition] = []
    if let when = json["when"] {
      for node in try when.array() {
        conditions.append(try RecipeRule.condition(node, roles: roles, after: conditions))
      }
    }
    self.roles = roles
    self.conditions = conditions
    format = try RecipeRule.format(try json.member("format"))
  }

  private static func condition(
    _ node: JSON, roles: [Role], after earlier: [RecipeCondition]
  ) throws(TinctureError) -> RecipeCondition {
    guard let condition = RecipeCondition(rawValue: try node.string()) else {
      throw node.error(
        "condition", "not a condition",
        expected: RecipeCondition.allCases.map(\.rawValue).joined(separator: ", "),
        found: node.shortText)
    }
    guard !earlier.contains(condition) else {
      throw node.error("condition", "the condition is listed twice")
    }
    let opposite: RecipeCondition? =
      switch condition {
      case .importance: .noImportance
      case .noImportance: .importance
      default: nil
      }
    if let opposite, earlier.contains(opposite) {
      throw node.error("condition", "the rule asks for a thing and its opposite")
    }
    if condition == .tied, roles != [.tokenEmbedding] {
      throw node.error("condition", "only the token embedding can be tied")
    }
    if condition.isPosition, let role = roles.first(where: { !$0.isInLayers }) {
      throw node.error("condition", "\(role.rawValue) stands outside the layers")
    }
    return condition
  }

  /// Reads the name of a format that can be written.
  static func format(_ node: JSON) throws(TinctureError) -> BlockFormat {
    guard let format = BlockFormat.named(try node.string()), format.canEncode else {
      throw node.error(
        "format", "not a format that can be written",
        expected: BlockFormat.all.map(\.name).joined(separator: ", "), found: node.shortText)
    }
    return format
  }
}

extension Role {
  /// Whether every layer has one, so that a position among the layers means something.
  var isInLayers: Bool {
    switch self {
    case .attnQ, .attnK, .attnV, .attnQKV, .attnOutput, .ffnGate, .ffnUp, .ffnDown: true
    case .tokenEmbedding, .positionEmbedding, .tokenTypeEmbedding, .output, .norm, .bias,
      .ropeFactors, .denseHead, .other:
      false
    }
  }
}
