import Testing
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

@Suite("Recipes")
struct RecipeTests {
  static func failure(_ body: () throws -> Void) -> TinctureError? {
    do {
      try body()
      return nil
    } catch {
      return error as? TinctureError
    }
  }

  /// llama.cpp `include/llama.h`, `llama_ftype`.
  static let fileTypes: [(String, UInt32)] = [
    ("f32", 0), ("f16", 1), ("q4_0", 2), ("q4_1", 3), ("q8_0", 7), ("q5_0", 8), ("q5_1", 9),
    ("q2_k", 10),
    ("q3_k_s", 11), ("q3_k_m", 12), ("q3_k_l", 13), ("q4_k_s", 14), ("q4_k_m", 15), ("q5_k_s", 16),
    ("q5_k_m", 17),
    ("q6_k", 18), ("iq4_nl", 25), ("iq4_xs", 30), ("bf16", 32),
  ]

  @Test(arguments: fileTypes)
  func fileType(name: String, number: UInt32) throws {
    let recipe = try Recipe.named(name)
    #expect(recipe.name == name)
    #expect(recipe.fileType == number)
  }

  @Test func namesAndAliases() throws {
    let recipes = try Recipe.all()
    #expect(Set(recipes.map(\.name)) == Set(Self.fileTypes.map(\.0)))
    #expect(recipes.first?.name == "f32")
    #expect(try Recipe.named("Q4_K_M").name == "q4_k_m")
    for (alias, name) in [("q3_k", "q3_k_m"), ("Q4_K", "q4_k_m"), ("q5_k", "q5_k_m")] {
      #expect(try Recipe.named(alias).name == name)
    }
    #expect(Set(recipes.filter { !$0.isQuantizing }.map(\.name)) == ["f32", "f16", "bf16"])
  }

  @Test func unknownNameListsAll() throws {
    let error = try #require(Self.failure { _ = try Recipe.named("q4_k_x") })
    #expect(error.code.name == "recipe.unknown")
    #expect(ExitStatus(error.code.kind) == .usage)
    for (name, _) in Self.fileTypes { #expect(error.expected?.contains(name) == true) }
  }

  static let rule = #"{ roles: ["attnV"], format: "Q6_K" }"#

  static func text(_ rules: String, format: String = "Q4_K", more: String = "") -> String {
    """
    { name: "x", summary: "s", fileType: 15, format: "\(format)", \(more)rules: [\(rules)] }
    """
  }

  /// (file, code, the text at the offset that the error names)
  static let wrong: [(String, String, String)] = [
    (text("", more: "colour: 1, "), "recipe.unknownKey", "colour"),
    (#"{ name: "x" }"#, "recipe.missing", "{"),
    (text("").replacing("\"x\"", with: "\"y\""), "recipe.name", "y"),
    (text("").replacing("\"x\"", with: "\"X\""), "recipe.name", "X"),
    (text("").replacing("15", with: "4294967296"), "recipe.range", "4294967296"),
    (text("").replacing("15", with: "-1"), "recipe.range", "-1"),
    (text("", format: "Q9_K"), "recipe.format", "Q9_K"),
    (text("", format: "IQ2_XS"), "recipe.format", "IQ2_XS"),
    (text(rule, format: "F16"), "recipe.rule", "{ roles"),
    (text(rule + "," + rule), "recipe.unreachable", "{ roles"),
    (
      text(rule + #", { roles: ["attnV"], when: ["firstTwo"], format: "Q8_0" }"#),
      "recipe.unreachable", #"{ roles: ["attnV"], when"#
    ),
    (text(#"{ roles: ["attnW"], format: "Q6_K" }"#), "recipe.role", "attnW"),
    (text(#"{ roles: ["norm"], format: "Q6_K" }"#), "recipe.role", "norm"),
    (text(#"{ roles: ["attnV", "attnV"], format: "Q6_K" }"#), "recipe.role", "attnV\"]"),
    (text(#"{ roles: [], format: "Q6_K" }"#), "recipe.role", "{ roles"),
    (text(#"{ roles: ["attnV"], form: "Q6_K" }"#), "recipe.unknownKey", "form: \"Q6_K\""),
    (
      text(#"{ roles: ["attnV"], when: ["sometimes"], format: "Q6_K" }"#), "recipe.condition",
      "sometimes"
    ),
    (
      text(#"{ roles: ["attnV"], when: ["importance", "noImportance"], format: "Q6_K" }"#),
      "recipe.condition", "noImportance"
    ),
    (
      text(#"{ roles: ["attnV"], when: ["firstTwo", "firstTwo"], format: "Q6_K" }"#),
      "recipe.condition", "firstTwo\"]"
    ),
    (text(#"{ roles: ["attnV"], when: ["tied"], format: "Q6_K" }"#), "recipe.condition", "tied"),
    (
      text(#"{ roles: ["output"], when: ["moreBits"], format: "Q6_K" }"#), "recipe.condition",
      "moreBits"
    ),
    (text("1"), "recipe.type", "1]"),
    (text("") + "x", "recipe.syntax", "x"),
  ]

  @Test("a wrong file is an error with its place", arguments: wrong)
  func wrongFile(text: String, code: String, at: String) throws {
    let bytes = Array(text.utf8)
    let error = try #require(
      Self.failure { _ = try Recipe(file: "recipes/x.json5", bytes: bytes) })
    #expect(error.code.name == code, "\(error)")
    #expect(error.place.file == "formats/recipes/x.json5")
    let offset = try #require(error.place.byteOffset)
    let found = String(decoding: bytes[Int(offset)...].drop { $0 == 0x22 }, as: UTF8.self)
    #expect(found.hasPrefix(at), "the error points at: \(found)")
  }

  @Test func aRightFileIsRead() throws {
    let recipe = try Recipe(file: "recipes/x.json5", bytes: Array(Self.text(Self.rule).utf8))
    #expect(recipe.format == .q4_K && recipe.rules.count == 1 && recipe.rules[0].format == .q6_K)
  }

  @Test func automaticKeepsEveryMatrix() throws {
    let cases: [([StoredType], String)] = [
      ([.element(.bf16), .element(.bf16)], "bf16"), ([.element(.f16)], "f16"),
      ([.element(.f32)], "f32"), ([.element(.f16), .element(.bf16)], "f32"),
      ([.element(.bf16), .element(.f32)], "f32"), ([.element(.f8e4m3)], "bf16"),
      ([.block(.q8_0)], "f32"), ([.element(.f64)], "f32"), ([], "f32"),
    ]
    for (types, name) in cases {
      #expect(try RecipeAssignment.automaticRecipe(for: types).name == name, "\(types)")
    }
  }
}
