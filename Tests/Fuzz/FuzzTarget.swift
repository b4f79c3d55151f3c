import TinctureCore

/// A parser to throw damaged files at.
///
/// To add one, write a value of this type and name it in ``FuzzTarget/all``.
struct FuzzTarget: Sendable {
  let name: String
  /// Good files, small ones, that the damage starts from.
  let seeds: [[UInt8]]
  /// Words of the format, spliced in at random.
  var words: [String] = []
  /// Makes lengths agree again after damage, so that it reaches further than the first check: the damaged
  /// bytes, and the input they were made from.
  var repair: (@Sendable (inout [UInt8], [UInt8]) -> Void)?
  /// The most memory live at one time, in multiples of the input's size. What costs most is a JSON array of
  /// one-digit numbers: 16 bytes a node for two of text, beside the text.
  var memoryFactor = 10
  /// Memory allowed beside that, in bytes: errors, tables that start with some room, what every run reads
  /// anew.
  var fixedMemory: Int64 = 16_384
  /// Parses; returns a small number that tells kinds of success apart. An error other than ``TinctureError``
  /// cannot be thrown; a trap is a finding.
  let run: @Sendable ([UInt8]) throws(TinctureError) -> Int
}

extension FuzzTarget {
  static let all: [FuzzTarget] = [
    .json, .safetensors, .index, .gguf, .imatrixGGUF, .imatrixLegacy,
    .tokenizerJSON, .sentencePiece, .tokenizerConfig, .vocabularyText, .tokenizing, .chatTemplate,
    .prompts, .pack, .packIndex, .packLogits,
    .config, .modules, .modelCard, .ggufModel,
  ]
}
