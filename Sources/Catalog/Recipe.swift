import TinctureBlocks
import TinctureCore

/// A named choice of formats: a default and rules by role, read from `formats/recipes/`.
///
/// The first rule that decides wins; without one the default format is taken. A row length that the format
/// cannot hold leads to its fallback. Norms, biases and other small tensors are never quantized
/// (``Role/isAlwaysFloat``).
public struct Recipe: Sendable {
  /// What the user types: `q4_k_m`.
  public let name: String
  /// Other names for it.
  public let aliases: [String]
  /// One line for lists.
  public let summary: String
  /// The value of `general.file_type` (llama.cpp `include/llama.h`, `llama_ftype`).
  public let fileType: UInt32
  /// The format of every tensor that no rule decides.
  public let format: BlockFormat
  /// In order of precedence.
  public let rules: [RecipeRule]

  /// Whether it quantizes, or only chooses a float type.
  public var isQuantizing: Bool { format.isQuantized }

  /// llama.cpp's `LLAMA_FTYPE_GUESSED`: "not specified", for mixes that llama-quantize does not have.
  static let unnamedFileType: UInt32 = 1024

  /// The recipe of that name or alias, upper or lower case.
  ///
  /// - Throws: `recipe.unknown` with the names there are; any error of ``all()``.
  public static func named(_ name: String) throws(TinctureError) -> Recipe {
    let recipes = try all()
    let wanted = name.lowercased()
    if let recipe = recipes.first(where: { $0.name == wanted || $0.aliases.contains(wanted) }) {
      return recipe
    }
    throw TinctureError(
      .init("recipe.unknown", .usage), "there is no recipe \"\(name)\"",
      expected: recipes.map(\.name).joined(separator: ", "), found: name)
  }

  /// Every recipe of `formats/recipes/`, the largest files first.
  ///
  /// - Throws: what is wrong with a recipe file, with file and offset. Cost: reads about 20 KB.
  public static func all() throws(TinctureError) -> [Recipe] {
    var recipes: [Recipe] = []
    var owners: [String: String] = [:]
    for file in try BundledFile.all(in: "recipes") {
      let recipe = try Recipe(file: file.name, bytes: file.bytes)
      var keys = [recipe.name] + recipe.aliases
      if recipe.fileType != unnamedFileType { keys.append("file type \(recipe.fileType)") }
      for key in keys {
        if let owner = owners.updateValue(file.path, forKey: key) {
          throw TinctureError(
            .init("recipe.duplicate", .invalidInput), "two recipes share \"\(key)\"",
            place: .init(file: file.path), found: owner)
        }
      }
      recipes.append(recipe)
    }
    return recipes.sorted {
      ($1.format.bitsPerElement, $0.name) < ($0.format.bitsPerElement, $1.name)
    }
  }

  /// Reads a recipe file; `file` is its path below `formats/`.
  ///
  /// - Throws: `recipe.syntax` and the like of the JSON scanner, `recipe.unknownKey`, `recipe.name`,
  ///   `recipe.unreachable` and the errors of ``RecipeRule``.
  package init(file: String, bytes: [UInt8]) throws(TinctureError) {
    let json = try JSON.parse(
      bytes, file: BundledFile.path(file), mode: .lenient, code: "recipe")
    let known = ["name", "aliases", "summary", "fileType", "format", "rules"]
    for (key, _) in try json.object() {
      let name = try key.string()
      guard known.contains(name) else {
        throw key.error(
          "unknownKey", "a recipe has no member \"\(name)\"",
          expected: known.joined(separator: ", "))
      }
    }
    let nameNode = try json.member("name")
    name = try Recipe.name(nameNode)
    guard file.split(separator: "/").last.map(String.init) == name + ".json5" else {
      throw nameNode.error("name", "the name is not that of the file", found: name)
    }
    var aliases: [String] = []
    if let nodes = json["aliases"] {
      for node in try nodes.array() { aliases.append(try Recipe.name(node)) }
    }
    self.aliases = aliases
    summary = try json.member("summary").string()
    let typeNode = try json.member("fileType")
    guard let fileType = UInt32(exactly: try typeNode.uint64()) else {
      throw typeNode.error("range", "a file type has 32 bits", found: typeNode.shortText)
    }
    self.fileType = fileType
    format = try RecipeRule.format(try json.member("format"))
    var rules: [RecipeRule] = []
    for node in try json.member("rules").array() {
      let rule = try RecipeRule(node)
      guard format.isQuantized else {
        throw node.error("rule", "a float recipe has no rules", found: format.name)
      }
      let hidden = rule.roles.allSatisfy { role in
        rules.contains { earlier in
          earlier.roles.contains(role)
            && earlier.conditions.allSatisfy { rule.conditions.contains($0) }
        }
      }
      guard !hidden else {
        throw node.error(
          "unreachable", "the rule never decides: rules before it take all its tensors",
          advice: "put it before them")
      }
      rules.append(rule)
    }
    self.rules = rules
  }

  private static func name(_ node: JSON) throws(TinctureError) -> String {
    let name = try node.string()
    let allowed = Array("abcdefghijklmnopqrstuvwxyz0123456789_".utf8)
    guard !name.isEmpty, name.utf8.allSatisfy({ allowed.contains($0) }) else {
      throw node.error(
        "name", "not a recipe's name", expected: "lower-case letters, digits and _",
        found: node.shortText)
    }
    return name
  }
}
