import Tincture

/// The wording of errors: for people, and as JSON.
enum ErrorText {
  /// Several lines: what is wrong, then where, expected, found, what to do, each on its line.
  static func plain(_ error: TinctureError) -> String {
    let status = ExitStatus(error.code.kind).rawValue
    return text(error, error.message, "\(error.code.name) (exit status \(status))")
  }

  /// What went wrong while a report of another error was written; the exit status is that of the other one.
  static func second(_ error: TinctureError) -> String {
    text(
      error, "the report of this error was not written: \(error.message)",
      "\(error.code.name) (the exit status is that of the error above)")
  }

  private static func text(_ error: TinctureError, _ message: String, _ code: String) -> String {
    var lines = ["tincture: error: \(message)"]
    func add(_ label: String, _ text: String?) {
      if let text { lines.append("  \(Text.padded(label, 9)) \(text)") }
    }
    let place = error.place
    var file = place.file
    if let offset = place.byteOffset {
      file = (file.map { $0 + ", " } ?? "") + "byte \(offset)"
    }
    add("file", file)
    add("key", place.key)
    add("tensor", place.tensor)
    add("layer", place.layer.map(String.init))
    add("expected", error.expected)
    add("found", error.found)
    add("advice", error.advice)
    add("code", code)
    return lines.joined(separator: "\n") + "\n"
  }

  /// The error as the `error` member of a command's JSON object; absent facts are null.
  static func json(_ error: TinctureError) -> JSONValue {
    func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
    let place = error.place
    return .object([
      ("code", .string(error.code.name)),
      ("kind", .string(error.code.kind.rawValue)),
      ("exitStatus", .int(Int(ExitStatus(error.code.kind).rawValue))),
      ("message", .string(error.message)),
      (
        "place",
        .object([
          ("file", text(place.file)),
          ("byteOffset", place.byteOffset.map { .uint($0) } ?? .null),
          ("tensor", text(place.tensor)),
          ("key", text(place.key)),
          ("layer", place.layer.map { .int($0) } ?? .null),
        ])
      ),
      ("expected", text(error.expected)),
      ("found", text(error.found)),
      ("advice", text(error.advice)),
    ])
  }
}
