/// The one error of the toolchain: what is wrong, where, what was expected and found, what to do.
///
/// The layer that throws fills what it knows; callers add the rest with ``at(file:byteOffset:tensor:key:layer:)``,
/// which never overwrites. Wording for people is made in the command line's `ErrorText`.
public struct TinctureError: Error, Sendable, CustomStringConvertible {
  /// What sort of failure this is; decides the exit status (see ``ExitStatus``).
  public enum Kind: String, Sendable, CaseIterable {
    /// A check answered "no".
    case negative
    /// The command's words are wrong.
    case usage
    /// An input file is malformed or contradicts another.
    case invalidInput
    /// The input is well-formed, but this build does not support it.
    case unsupported
    /// The output cannot be written.
    case cannotWrite
    /// Memory, disk or another limit would be exceeded.
    case limit
    /// A mistake of ours.
    case internalError
    /// The user interrupted the work.
    case interrupted
  }

  /// A stable dotted name of the failure ("safetensors.tensor.overrun") and its kind.
  public struct Code: Hashable, Sendable {
    public let name: String
    public let kind: Kind

    public init(_ name: String, _ kind: Kind) {
      self.name = name
      self.kind = kind
    }
  }

  /// Where it went wrong; every part is optional.
  public struct Place: Hashable, Sendable {
    public var file: String?
    public var byteOffset: UInt64?
    public var tensor: String?
    public var key: String?
    public var layer: Int?

    public init(
      file: String? = nil, byteOffset: UInt64? = nil, tensor: String? = nil, key: String? = nil,
      layer: Int? = nil
    ) {
      self.file = file
      self.byteOffset = byteOffset
      self.tensor = tensor
      self.key = key
      self.layer = layer
    }
  }

  public let code: Code
  /// One sentence without a final stop, in lower case: what is wrong.
  public var message: String
  public var place: Place
  public var expected: String?
  public var found: String?
  /// Imperative and specific: what the user can do.
  public var advice: String?

  public init(
    _ code: Code, _ message: String, place: Place = Place(), expected: String? = nil,
    found: String? = nil, advice: String? = nil
  ) {
    self.code = code
    self.message = Self.shortened(message)
    self.place = Self.shortened(place)
    self.expected = expected
    self.found = found.map(Self.shortened)
    self.advice = advice
  }

  /// Most Unicode scalars of a message, of what was found and of a name, which may hold a value of any length.
  package static let textLimit = 1000

  private static func shortened(_ text: String) -> String {
    guard text.utf8.count > textLimit, text.unicodeScalars.count > textLimit else { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.prefix(textLimit))) + "…"
  }

  private static func shortened(_ place: Place) -> Place {
    var short = place
    short.tensor = place.tensor.map(shortened)
    short.key = place.key.map(shortened)
    return short
  }

  /// The same error with the blank parts of its place filled in.
  public func at(
    file: String? = nil, byteOffset: UInt64? = nil, tensor: String? = nil, key: String? = nil,
    layer: Int? = nil
  ) -> TinctureError {
    var copy = self
    copy.place.file = place.file ?? file
    copy.place.byteOffset = place.byteOffset ?? byteOffset
    copy.place.tensor = place.tensor ?? tensor
    copy.place.key = place.key ?? key
    copy.place.layer = place.layer ?? layer
    copy.place = Self.shortened(copy.place)
    return copy
  }

  /// One line for logs and test failures.
  public var description: String {
    var text = "[\(code.name)] \(message)"
    if let file = place.file { text += "; file \(file)" }
    if let tensor = place.tensor { text += "; tensor \(tensor)" }
    if let key = place.key { text += "; key \(key)" }
    if let layer = place.layer { text += "; layer \(layer)" }
    if let byteOffset = place.byteOffset { text += "; byte \(byteOffset)" }
    if let expected { text += "; expected \(expected)" }
    if let found { text += "; found \(found)" }
    if let advice { text += "; \(advice)" }
    return text
  }
}

/// Runs `body` and fills the blank parts of the place of any error it throws.
package func located<R>(
  file: String? = nil, tensor: String? = nil, key: String? = nil, layer: Int? = nil,
  _ body: () throws(TinctureError) -> R
) throws(TinctureError) -> R {
  do {
    return try body()
  } catch {
    throw error.at(file: file, tensor: tensor, key: key, layer: layer)
  }
}
