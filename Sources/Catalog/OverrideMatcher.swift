import TinctureBlocks
import TinctureCore

/// Applies overrides and keeps account of which of them decided something.
struct OverrideMatcher {
  private let overrides: TypeOverrides
  private var patterns: [TensorPattern] = []
  /// For each pattern: tensors it decided, tensors it met too late, tensors that are never quantized.
  private var uses: [(decided: Int, shadowed: Int, passedOver: String?)] = []
  private var usedOutput = false
  private var usedEmbedding = false

  init(_ overrides: TypeOverrides) {
    self.overrides = overrides
  }

  /// Compiles the patterns and checks that every type can be written.
  mutating func compile() throws(TinctureError) {
    for (pattern, format) in overrides.tensorTypes {
      _ = try TypeOverrides.format(format.name, option: "--tensor-type")
      patterns.append(try TensorPattern(pattern))
      uses.append((0, 0, nil))
    }
    if let output = overrides.output {
      _ = try TypeOverrides.format(output.name, option: "--output-type")
    }
    if let embedding = overrides.embedding {
      _ = try TypeOverrides.format(embedding.name, option: "--embedding-type")
    }
  }

  /// What the user chose for `tensor`; nil leaves it to the recipe.
  ///
  /// llama-quantize's order: `--embedding-type` and, for a head of its own, `--output-type` come before
  /// `--tensor-type`; for a tied embedding `--output-type` comes after it.
  mutating func choice(
    for tensor: RecipeAssignment.Tensor, isTied: Bool
  ) throws(TinctureError) -> TypeChoice? {
    if tensor.role == .tokenEmbedding, let format = overrides.embedding {
      usedEmbedding = true
      shadow(tensor, from: 0)
      return try fit(tensor, format, "--embedding-type \(format.name)")
    }
    if tensor.role == .output, let format = overrides.output {
      usedOutput = true
      shadow(tensor, from: 0)
      return try fit(tensor, format, "--output-type \(format.name)")
    }
    if let index = patterns.firstIndex(where: { $0.isFound(in: tensor.name) }) {
      uses[index].decided += 1
      shadow(tensor, from: index + 1)
      let format = overrides.tensorTypes[index].format
      return try fit(tensor, format, "--tensor-type \(patterns[index].text)=\(format.name)")
    }
    if tensor.role == .tokenEmbedding, isTied, let format = overrides.output {
      usedOutput = true
      return try fit(
        tensor, format,
        "token embedding, which is also the output head: --output-type \(format.name)")
    }
    return nil
  }

  /// Notes which patterns match a tensor that is never quantized.
  mutating func passOver(_ tensor: RecipeAssignment.Tensor) {
    for index in patterns.indices
    where uses[index].passedOver == nil && patterns[index].isFound(in: tensor.name) {
      uses[index].passedOver = tensor.name
    }
  }

  private mutating func shadow(_ tensor: RecipeAssignment.Tensor, from first: Int) {
    for index in first..<patterns.count where patterns[index].isFound(in: tensor.name) {
      uses[index].shadowed += 1
    }
  }

  private func fit(
    _ tensor: RecipeAssignment.Tensor, _ format: BlockFormat, _ reason: String
  ) throws(TinctureError) -> TypeChoice {
    let length = tensor.shape.rowLength
    guard format.rowByteCount(length) != nil else {
      throw TinctureError(
        .init("override.rowLength", .usage), "\(reason) does not fit the tensor's rows",
        place: .init(tensor: tensor.name),
        expected: "a row length that is a multiple of \(format.elementsPerBlock)",
        found: "\(length)",
        advice: "choose \(format.usable(rowLength: length).name) for it or narrow the choice")
    }
    return TypeChoice(tensor: tensor.name, format: format, reason: reason)
  }

  /// - Throws: `override.unused` for the first override that decided nothing.
  func checkUse() throws(TinctureError) {
    for (index, use) in uses.enumerated() where use.decided == 0 {
      let (pattern, format) = overrides.tensorTypes[index]
      let option = "--tensor-type \(pattern)=\(format.name)"
      if use.shadowed > 0 {
        throw unused(
          option, found: "other choices come first for all \(use.shadowed) tensors it matches",
          advice: "put it before them or leave it out")
      }
      if let name = use.passedOver {
        throw unused(
          option, found: "it matches only tensors that are never quantized, such as \(name)")
      }
      throw unused(
        option, found: "no tensor with such a name",
        advice: "list the names with: tincture inspect PATH --tensors")
    }
    if let output = overrides.output, !usedOutput {
      throw unused(
        "--output-type \(output.name)",
        found: "the model has no output head, or another choice comes first for it")
    }
    if let embedding = overrides.embedding, !usedEmbedding {
      throw unused("--embedding-type \(embedding.name)", found: "the model has no token embedding")
    }
  }

  private func unused(_ option: String, found: String, advice: String? = nil) -> TinctureError {
    TinctureError(
      .init("override.unused", .usage), "\(option) decides no tensor's type", found: found,
      advice: advice)
  }
}
