import TinctureBlocks
import TinctureCore

/// The user's own choices of formats, which come before the recipe's.
public struct TypeOverrides: Sendable {
  /// Formats by patterns of tensor names (`--tensor-type PATTERN=TYPE`): the first pattern found in a name
  /// decides.
  public var tensorTypes: [(pattern: String, format: BlockFormat)]
  /// Format of the output head, or of the token embedding where that serves as one (`--output-type`).
  public var output: BlockFormat?
  /// Format of the token embedding (`--embedding-type`).
  public var embedding: BlockFormat?

  public init(
    tensorTypes: [(pattern: String, format: BlockFormat)] = [], output: BlockFormat? = nil,
    embedding: BlockFormat? = nil
  ) {
    self.tensorTypes = tensorTypes
    self.output = output
    self.embedding = embedding
  }

  /// Whether there is none.
  public var isEmpty: Bool { tensorTypes.isEmpty && output == nil && embedding == nil }

  /// Takes the words of `--tensor-type`, `attn_v=q6_k`, apart.
  ///
  /// - Throws: `override.syntax` without `=` or pattern, and the errors of ``format(_:option:)``.
  public static func tensorType(
    _ words: String
  ) throws(TinctureError) -> (pattern: String, format: BlockFormat) {
    let parts = words.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty else {
      throw TinctureError(
        .init("override.syntax", .usage), "--tensor-type needs a pattern and a type",
        expected: "PATTERN=TYPE, such as attn_v=q6_k", found: words)
    }
    let format = try format(String(parts[1]), option: "--tensor-type")
    return (String(parts[0]), format)
  }

  /// The format of that name, upper or lower case.
  ///
  /// - Throws: `override.format` when there is none, or none that can be written.
  public static func format(
    _ name: String, option: String
  ) throws(TinctureError) -> BlockFormat {
    let format = BlockFormat.named(name)
    if let format, format.canEncode { return format }
    throw TinctureError(
      .init("override.format", .usage),
      format == nil
        ? "\(option): there is no type \"\(name)\""
        : "\(option): \(name.uppercased()) can be read but not written",
      expected: BlockFormat.all.map(\.name).joined(separator: ", "), found: name)
  }
}
