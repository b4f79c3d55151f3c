/// A text as a test's argument: a long one is shown by its beginning and its size, so that a log stays readable.
public struct LongText: Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
  public let text: String

  public init(_ text: String) { self.text = text }
  public init(stringLiteral text: String) { self.text = text }

  public var description: String {
    let count = text.utf8.count
    return count <= 200 ? text : "\(text.prefix(40))… (\(count) bytes)"
  }
}
