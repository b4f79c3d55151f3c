import TinctureCore

/// A token that stands beside the trained vocabulary: control tokens, chat markers, tokens of a fine-tune.
public struct AddedToken: Sendable, Hashable {
  public let id: Int
  public let content: [UInt8]
  /// Whether decoding leaves it out: a control token.
  public let isSpecial: Bool
  /// Whether it is looked for in the normalized text, not in the raw one.
  public let isNormalized: Bool
  /// Whether white space before it, or after it, belongs to it.
  public let stripsLeft: Bool
  public let stripsRight: Bool
  /// Whether it is found only where no letters or digits touch it.
  public let isWord: Bool
  /// The file that says so, for errors.
  public let origin: String

  public init(
    id: Int, content: [UInt8], isSpecial: Bool, isNormalized: Bool, origin: String,
    stripsLeft: Bool = false, stripsRight: Bool = false, isWord: Bool = false
  ) {
    self.id = id
    self.content = content
    self.isSpecial = isSpecial
    self.isNormalized = isNormalized
    self.stripsLeft = stripsLeft
    self.stripsRight = stripsRight
    self.isWord = isWord
    self.origin = origin
  }

  /// The text for people.
  public var text: String { String(decoding: content, as: UTF8.self) }

  /// Ids beyond this are no token ids: GGUF and llama.cpp count tokens in 32 bits.
  static let largestID = Int(Int32.max)

  /// One entry of `added_tokens` (with `id`) or of `added_tokens_decoder` (whose key is the id).
  static func read(_ node: JSON, id: JSON, origin: String) throws(TinctureError) -> AddedToken {
    let number: Int
    if id.kind == .string {
      guard let parsed = Int(try id.string()) else {
        throw id.error("id", "the key is not a token id", expected: "digits", found: id.shortText)
      }
      number = parsed
    } else {
      number = try id.int()
    }
    guard number >= 0, number <= largestID else {
      throw id.error(
        "id", "the token id is out of range", expected: "0 to \(largestID)", found: "\(number)")
    }
    let content = try node.member("content").stringBytes()
    guard !content.isEmpty else { throw node.error("emptyToken", "an added token is empty") }
    return AddedToken(
      id: number, content: content, isSpecial: try StepReader.flag(node, "special", false),
      isNormalized: try StepReader.flag(node, "normalized", true), origin: origin,
      stripsLeft: try StepReader.flag(node, "lstrip", false),
      stripsRight: try StepReader.flag(node, "rstrip", false),
      isWord: try StepReader.flag(node, "single_word", false))
  }

  /// The error of an added token that has the id of another one.
  ///
  /// - Parameters:
  ///   - trained: the text of the other token in the file `name`.
  ///   - isCounted: whether that file counts for llama.cpp's converter.
  func contradiction(
    _ trained: [UInt8], _ name: String, folder: String, more: String = "", isCounted: Bool = true
  ) -> TinctureError {
    let other =
      isCounted
      ? "a spare token is renamed in model.vocab of tokenizer.json too"
      : "if \(name) belongs to another model, remove it"
    return TinctureError(
      .init("tokenizer.contradiction", .invalidInput),
      "an added token has the id \(id), which belongs to another token",
      place: .init(file: Folder.join(folder, origin)),
      expected: "\"\(String(decoding: trained, as: UTF8.self))\", as in \(name)",
      found: "\"\(text)\"" + more,
      advice: "give the added token an id of its own, or take all tokenizer files from the model's "
        + "own folder; \(other)")
  }

  /// Whether the text reads like a control token though it may not be marked so.
  ///
  /// Source: llama.cpp `conversion/base.py`, does_token_look_special.
  var looksSpecial: Bool {
    let names = ["<pad>", "<mask>", "<2mass>", "[@BOS@]"]
    if names.contains(where: { content.elementsEqual($0.utf8) }) { return true }
    return has("<|", "|>") || has("<\u{FF5C}", "\u{FF5C}>") || has("<unused", ">")
  }

  private func has(_ prefix: String, _ suffix: String) -> Bool {
    content.starts(with: prefix.utf8) && content.reversed().starts(with: suffix.utf8.reversed())
  }
}
