import TinctureCore

/// Unicode text as Jinja sees it: its length, slices and comparisons go by scalar, never by `Character`.
typealias TemplateText = [Unicode.Scalar]

extension TemplateText {
  init(_ text: String) { self = Array(text.unicodeScalars) }

  /// The text for people and for the output.
  var string: String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: self)
    return String(view)
  }
}

/// What can be wrong with a template, as an error that names the line.
enum TemplateFault {
  /// Not Jinja at all.
  case syntax
  /// Jinja, but outside the subset.
  case unsupported
  /// A value of the wrong sort met while rendering.
  case value
  /// Time, memory or nesting beyond the bounds.
  case limit
  /// The template's own `raise_exception`.
  case raised

  private var code: TinctureError.Code {
    switch self {
    case .syntax: .init("chat.template.syntax", .invalidInput)
    case .unsupported: .init("chat.template.unsupported", .unsupported)
    case .value: .init("chat.template.value", .invalidInput)
    case .limit: .init("chat.template.limit", .limit)
    case .raised: .init("chat.template.raised", .invalidInput)
    }
  }

  private var advice: String? {
    switch self {
    case .syntax: "download the model's files again, or give another template"
    case .unsupported:
      "give a template without this construct, or render the conversation elsewhere and pass the text"
    case .value: "check that the template fits a plain conversation of texts"
    case .limit:
      "give a shorter conversation, or a template without such nesting, loops and long texts"
    case .raised: "change the conversation as the template asks"
    }
  }

  /// The error at `line` of the template, counted from 1.
  func at(
    _ line: Int, _ message: String, expected: String? = nil, found: String? = nil
  ) -> TinctureError {
    TinctureError(
      code, message, place: .init(key: "line \(line)"), expected: expected, found: found,
      advice: advice)
  }
}
