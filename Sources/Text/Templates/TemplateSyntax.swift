import TinctureCore

/// An expression of a template with the line it stands on.
///
/// A class, so that a node costs one allocation and copies nothing; `depth` bounds recursion over it.
final class TemplateExpression: Sendable {
  enum Kind: Sendable {
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(TemplateText)
    case name(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dict([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case item(TemplateExpression, TemplateExpression)
    /// Start, stop and step.
    case slice(TemplateExpression, [TemplateExpression?])
    case call(TemplateExpression, TemplateArguments)
    /// Without an operand in `{% filter … %}` and `{% set … | … %}`: what the block holds.
    case filter(TemplateExpression?, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments)
    case not(TemplateExpression)
    case sign(TemplateExpression, isNegative: Bool)
    case arithmetic(TemplateExpression, String, TemplateExpression)
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case concatenation([TemplateExpression])
    case comparison(TemplateExpression, [(mark: String, operand: TemplateExpression)])
    case conditional(
      test: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
  }

  let kind: Kind
  let line: Int
  let depth: Int

  init(_ kind: Kind, line: Int, depth: Int) {
    self.kind = kind
    self.line = line
    self.depth = depth
  }
}

/// What stands between the parentheses of a call, filter or test.
struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []

  var all: [TemplateExpression] { positional + named.map(\.value) }
}

/// Where a value is put.
indirect enum TemplateTarget: Sendable {
  case name(String)
  case attribute(String, String)
  case tuple([TemplateTarget])
}

/// A statement of a template.
struct TemplateStatement: Sendable {
  indirect enum Kind: Sendable {
    case text(TemplateText)
    case output(TemplateExpression)
    case branches([(test: TemplateExpression, body: [TemplateStatement])], [TemplateStatement])
    case loop(TemplateLoop)
    case set(TemplateTarget, TemplateExpression)
    case setBlock(TemplateTarget, TemplateExpression?, [TemplateStatement])
    case filterBlock(TemplateExpression, [TemplateStatement])
    case with([(target: TemplateTarget, value: TemplateExpression)], [TemplateStatement])
    case macro(TemplateMacro)
    /// `{% generation %}`: what the assistant says.
    case generation([TemplateStatement])
    case breakLoop, continueLoop
  }

  var kind: Kind
  var line: Int
}

struct TemplateLoop: Sendable {
  var target: TemplateTarget
  var sequence: TemplateExpression
  var filter: TemplateExpression?
  var body: [TemplateStatement]
  var otherwise: [TemplateStatement]
  /// Whether the body speaks of `loop`, so that all items must be known ahead.
  var usesLoop: Bool
}

struct TemplateMacro: Sendable {
  var name: String
  /// A parameter without a default is undefined when it is not given.
  var parameters: [(name: String, value: TemplateExpression?)]
  var body: [TemplateStatement]
}
