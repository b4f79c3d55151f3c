import TinctureBlocks
import TinctureContainers
import TinctureCore

/// The format chosen for a tensor, and why.
public struct TypeChoice: Sendable, Hashable {
  /// GGUF name.
  public let tensor: String
  public let format: BlockFormat
  /// For people: "attn_v in the first eighth of layers: Q6_K".
  public let reason: String
}

/// Chooses a format for every tensor of a model, as llama-quantize does.
///
/// Source: llama.cpp `src/llama-quant.cpp` (as in llama-cpp-python 0.3.36): `llama_tensor_get_type`,
/// `tensor_allows_quantization`, `tensor_type_fallback`. Differences, all towards saying so: an override
/// that does not fit a row or decides nothing is an error, `--tensor-type` also works with float
/// recipes, and a vector of 16-bit floats in a GGUF source becomes F32: llama.cpp ends at a norm of them.
package enum RecipeAssignment {
  /// What is looked at of a tensor.
  package struct Tensor: Sendable {
    package var name: String
    package var role: Role
    package var layer: Int?
    package var shape: Shape
    /// The type it has in a GGUF source, which tensors that are never quantized keep; nil when the source
    /// is a checkpoint: then they become F32, as llama.cpp's converter makes them.
    package var stored: StoredType?
    /// Whether a factor that is no power of two was folded into it: 16 bits would round the products.
    package var isScaled: Bool

    package init(
      name: String, role: Role, layer: Int?, shape: Shape, stored: StoredType? = nil,
      isScaled: Bool = false
    ) {
      self.name = name
      self.role = role
      self.layer = layer
      self.shape = shape
      self.stored = stored
      self.isScaled = isScaled
    }
  }

  /// A choice for each of `tensors`, in their order.
  ///
  /// - Parameters:
  ///   - hasImportance: whether an importance matrix is given, for whichever tensors.
  /// - Throws: `override.format`, `override.pattern`, `override.rowLength`, `override.unused`.
  /// - Complexity: O(tensors × (rules + patterns)).
  package static func assign(
    architecture: String, layerCount: Int, headCount: Int, keyValueHeadCount: Int,
    tensors: [Tensor], recipe: Recipe, overrides: TypeOverrides = TypeOverrides(),
    hasImportance: Bool
  ) throws(TinctureError) -> [TypeChoice] {
    var chosen = OverrideMatcher(overrides)
    try chosen.compile()
    let facts = RecipeFacts(
      architecture: architecture, layerCount: layerCount, headCount: headCount,
      keyValueHeadCount: keyValueHeadCount,
      isTied: !tensors.contains { $0.role == .output },
      hasImportance: hasImportance, position: 0, positionCount: layerCount)
    let valueCount = tensors.count { $0.role == .attnV || $0.role == .attnQKV }
    var positions: [Role: Int] = [:]
    var choices = [TypeChoice?](repeating: nil, count: tensors.count)
    for index in order(of: tensors) {
      let tensor = tensors[index]
      guard isQuantizable(tensor, recipe) else {
        chosen.passOver(tensor)
        choices[index] = floatChoice(tensor)
        continue
      }
      if let choice = try chosen.choice(for: tensor, isTied: facts.isTied) {
        choices[index] = choice
        continue
      }
      // attn_v and attn_qkv are counted together; llama-quantize counts only what its rules decide.
      let kind: Role = tensor.role == .attnQKV ? .attnV : tensor.role
      var facts = facts
      facts.position = positions[kind, default: 0]
      if kind == .attnV { facts.positionCount = valueCount }
      positions[kind] = facts.position + 1
      choices[index] = ruleChoice(tensor, recipe, facts)
    }
    try chosen.checkUse()
    return choices.compactMap { $0 }
  }

  /// By layer, then by name: the order in which llama-quantize counts.
  private static func order(of tensors: [Tensor]) -> [Int] {
    tensors.indices.sorted { first, second in
      let (a, b) = (tensors[first], tensors[second])
      let (layerA, layerB) = (a.layer ?? -1, b.layer ?? -1)
      if layerA != layerB { return layerA < layerB }
      return a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
    }
  }

  /// Whether recipe and overrides apply. A matrix of one row counts as a vector in ggml and is not
  /// quantized; the float recipes see it as the converter does.
  private static func isQuantizable(_ tensor: Tensor, _ recipe: Recipe) -> Bool {
    guard !tensor.role.isAlwaysFloat, tensor.name.hasSuffix("weight") else { return false }
    if tensor.stored == nil, !recipe.isQuantizing { return tensor.shape.rank >= 2 }
    return tensor.shape.dimensions.drop { $0 == 1 }.count >= 2
  }

  private static func floatChoice(_ tensor: Tensor) -> TypeChoice {
    let what = tensor.role.isAlwaysFloat ? tensor.role.label : "\(tensor.role.label) of one row"
    if let id = tensor.stored?.ggmlID, let format = BlockFormat.with(id: id) {
      if tensor.shape.rank == 1, format == .f16 || format == .bf16 {
        return TypeChoice(
          tensor: tensor.name, format: .f32,
          reason:
            "\(what), never quantized: F32, with which llama.cpp computes (\(format.name) in the source)"
        )
      }
      return TypeChoice(
        tensor: tensor.name, format: format,
        reason: "\(what), never quantized: \(format.name) as stored")
    }
    return TypeChoice(tensor: tensor.name, format: .f32, reason: "\(what), never quantized: F32")
  }

  private static func ruleChoice(
    _ tensor: Tensor, _ recipe: Recipe, _ facts: RecipeFacts
  ) -> TypeChoice {
    let rule = recipe.rules.first { $0.decides(tensor.role, facts) }
    let wanted = rule?.format ?? recipe.format
    var reason =
      rule?.reason(tensor.role, facts)
      ?? "\(tensor.role.label), default of \(recipe.name): \(wanted.name)"
    if tensor.isScaled, !recipe.isQuantizing, wanted != .f32 {
      return TypeChoice(
        tensor: tensor.name, format: .f32,
        reason:
          "\(tensor.role.label), a factor was folded into it that \(wanted.name) would round: F32")
    }
    let length = tensor.shape.rowLength
    let format = wanted.usable(rowLength: length)
    if format != wanted {
      reason +=
        "; row length \(length) is no multiple of \(wanted.elementsPerBlock): "
        + "\(format.name) in place of \(wanted.name)"
    }
    return TypeChoice(tensor: tensor.name, format: format, reason: reason)
  }
}

extension RecipeAssignment {
  /// The float recipe that keeps every matrix exactly, for `--type auto`: `f16` or `bf16` when all are of
  /// that type (8-bit floats fit into BF16), else `f32`.
  ///
  /// - Parameter stored: types of the source's matrices.
  package static func automaticRecipe(
    for stored: some Sequence<StoredType>
  ) throws(TinctureError) -> Recipe {
    var name: String?
    for type in stored {
      let exact =
        switch type {
        case .element(.f16): "f16"
        case .element(.bf16), .element(.f8e4m3), .element(.f8e5m2): "bf16"
        default: "f32"
        }
      if let before = name, before != exact { return try Recipe.named("f32") }
      name = exact
    }
    return try Recipe.named(name ?? "f32")
  }
}

extension RecipeAssignment {
  /// The choices for a bound model, in the order of its tensors; see the general form.
  package static func assign(
    model: BoundModel, recipe: Recipe, overrides: TypeOverrides = TypeOverrides(),
    hasImportance: Bool
  ) throws(TinctureError) -> [TypeChoice] {
    let isGGUF = model.source is GGUFFile
    return try assign(
      architecture: model.architecture, layerCount: model.layerCount,
      headCount: model.headCount, keyValueHeadCount: model.keyValueHeadCount,
      tensors: model.tensors.map { tensor in
        Tensor(
          name: tensor.name, role: tensor.role, layer: tensor.layer, shape: tensor.shape,
          stored: isGGUF ? tensor.expression.sourceTypes.first : nil,
          isScaled: tensor.expression.isScaled)
      },
      recipe: recipe, overrides: overrides, hasImportance: hasImportance)
  }
}

extension RowExpression {
  /// Whether a piece is multiplied by a factor that is no power of two.
  var isScaled: Bool {
    pieces.contains { piece in
      guard case .source(_, _, _, _, let scale, _) = piece else { return false }
      return scale.significandBitPattern != 0
    }
  }

  /// Stored types of the sources, in the order of the pieces.
  var sourceTypes: [StoredType] {
    pieces.compactMap { piece in
      if case .source(let tensor, _, _, _, _, _) = piece { return tensor.info.type }
      return nil
    }
  }
}
