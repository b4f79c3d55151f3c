import TinctureCore

/// Builds the statements of a template from its words.
///
/// What Jinja itself would refuse is `chat.template.syntax`; statements of Jinja outside the subset are
/// `chat.template.unsupported`. A filter or test outside the subset is an error only when rendering reaches it, since
/// templates speak of tools and documents in branches that a plain conversation never takes.
struct TemplateParser {
  /// The deepest nesting of blocks and brackets: 100 blocks, or 25 brackets, stay within a stack of 512 KiB.
  static let depthLimit = 100

  let tokens: [TemplateToken]
  var position = 0
  var depth = 0
  /// Loops around the statement being read, within the innermost macro or generation block.
  var loopDepth = 0
  /// Set when the name `loop` is met.
  var mentionsLoop = false

  static func parse(_ source: TemplateText) throws(TinctureError) -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: source))
    let body = try parser.statements(until: [])
    return body
  }

  private init(tokens: [TemplateToken]) { self.tokens = tokens }

  // MARK: Words

  var kind: TemplateToken.Kind { tokens[position].kind }
  var line: Int { tokens[position].line }
  /// The word after the present one.
  var following: TemplateToken.Kind { tokens[min(position + 1, tokens.count - 1)].kind }

  /// Passes the present word; never the `end`.
  mutating func advance() { if position < tokens.count - 1 { position += 1 } }

  mutating func skip(_ wanted: TemplateToken.Kind) -> Bool {
    guard kind == wanted else { return false }
    advance()
    return true
  }

  mutating func expect(_ wanted: TemplateToken.Kind) throws(TinctureError) {
    guard skip(wanted) else { throw unexpected(TemplateParser.text(of: wanted)) }
  }

  mutating func expectName() throws(TinctureError) -> String {
    guard case .name(let name) = kind else { throw unexpected("a name") }
    advance()
    return name
  }

  func unexpected(_ expected: String?) -> TinctureError {
    TemplateFault.syntax.at(
      line, "the template does not go on as Jinja asks", expected: expected,
      found: TemplateParser.text(of: kind))
  }

  static func text(of kind: TemplateToken.Kind) -> String {
    switch kind {
    case .data: "text"
    case .variableBegin: "'{{'"
    case .variableEnd: "'}}'"
    case .blockBegin: "'{%'"
    case .blockEnd: "'%}'"
    case .name(let name): "'\(name)'"
    case .string: "a string"
    case .integer, .float: "a number"
    case .mark(let mark): "'\(mark)'"
    case .end: "the end of the template"
    }
  }

  /// Runs `body` some levels deeper; a whole expression within another takes the stack of several blocks.
  mutating func nested<R>(
    levels: Int = 1, _ body: (inout TemplateParser) throws(TinctureError) -> R
  ) throws(TinctureError) -> R {
    depth += levels
    defer { depth -= levels }
    guard depth <= TemplateParser.depthLimit else { throw tooDeep() }
    return try body(&self)
  }

  func tooDeep() -> TinctureError {
    TemplateFault.limit.at(
      line, "the template is nested too deeply", expected: "at most 25 brackets or 100 blocks")
  }

  // MARK: Statements

  /// Statements up to a tag that starts with one of `ends`, of which the name is passed; without ends, the whole
  /// template.
  mutating func statements(until ends: [String]) throws(TinctureError) -> [TemplateStatement] {
    depth += 1
    defer { depth -= 1 }
    guard depth <= TemplateParser.depthLimit else { throw tooDeep() }
    var body: [TemplateStatement] = []
    while true {
      let start = line
      switch kind {
      case .data(let text):
        body.append(TemplateStatement(kind: .text(text), line: start))
        advance()
      case .variableBegin:
        advance()
        let value = try tupleOrExpression()
        body.append(TemplateStatement(kind: .output(withoutSafe(value)), line: start))
        try expect(.variableEnd)
      case .blockBegin:
        advance()
        if case .name(let name) = kind, ends.contains(name) { return body }
        body.append(TemplateStatement(kind: try statement(), line: start))
        try expect(.blockEnd)
      default:
        guard ends.isEmpty, kind == .end else {
          throw unexpected(ends.map { "{% \($0) %}" }.joined(separator: " or "))
        }
        return body
      }
    }
  }

  /// `{{ x | safe }}` prints x: nothing is escaped here.
  private func withoutSafe(_ value: TemplateExpression) -> TemplateExpression {
    if case .filter(.some(let operand), "safe", let arguments) = value.kind, arguments.all.isEmpty {
      return operand
    }
    return value
  }

  /// A block's body: the rest of its tag, then statements up to one of `ends`.
  private mutating func body(until ends: [String]) throws(TinctureError) -> [TemplateStatement] {
    _ = skip(.mark(":"))
    try expect(.blockEnd)
    return try statements(until: ends)
  }

  /// A body up to `end`, which is passed.
  private mutating func closedBody(_ end: String) throws(TinctureError) -> [TemplateStatement] {
    let body = try body(until: [end])
    advance()
    return body
  }

  /// The same for a body that no `break` can leave.
  private mutating func ownBody(_ end: String) throws(TinctureError) -> [TemplateStatement] {
    let outer = loopDepth
    loopDepth = 0
    defer { loopDepth = outer }
    return try closedBody(end)
  }

  private mutating func statement() throws(TinctureError) -> TemplateStatement.Kind {
    let start = line
    let name = try expectName()
    switch name {
    case "if": return try branches()
    case "for": return try loop()
    case "set": return try set()
    case "with": return try with()
    case "macro": return try macro()
    case "filter":
      let filter = try filters(on: nil, startsInline: true)
      return .filterBlock(filter, try ownBody("endfilter"))
    case "generation": return .generation(try ownBody("endgeneration"))
    case "break", "continue":
      guard loopDepth > 0 else {
        throw TemplateFault.unsupported.at(
          start, "'\(name)' is supported directly within a loop only")
      }
      return name == "break" ? .breakLoop : .continueLoop
    case "autoescape", "block", "call", "extends", "from", "import", "include", "print":
      throw TemplateFault.unsupported.at(
        start, "the statement '\(name)' is not supported", found: "{% \(name) … %}")
    default:
      throw TemplateFault.syntax.at(start, "an unknown or misplaced tag", found: "{% \(name) … %}")
    }
  }

  private mutating func branches() throws(TinctureError) -> TemplateStatement.Kind {
    var parts: [(test: TemplateExpression, body: [TemplateStatement])] = []
    while true {
      let test = try tupleOrExpression(withConditional: false)
      parts.append((test, try body(until: ["elif", "else", "endif"])))
      let end = try expectName()
      if end == "elif" { continue }
      return .branches(parts, end == "else" ? try closedBody("endif") : [])
    }
  }

  private mutating func loop() throws(TinctureError) -> TemplateStatement.Kind {
    let target = try target(withNamespace: false, end: "in")
    try expect(.name("in"))
    let sequence = try tupleOrExpression(withConditional: false, end: "recursive")
    var filter: TemplateExpression?
    if skip(.name("if")) { filter = try expression() }
    if kind == .name("recursive") {
      throw TemplateFault.unsupported.at(line, "recursive loops are not supported")
    }
    let outer = mentionsLoop
    mentionsLoop = false
    loopDepth += 1
    let inner = try body(until: ["endfor", "else"])
    loopDepth -= 1
    let usesLoop = mentionsLoop
    mentionsLoop = outer || mentionsLoop
    let otherwise = try expectName() == "else" ? try closedBody("endfor") : []
    return .loop(
      TemplateLoop(
        target: target, sequence: sequence, filter: filter, body: inner, otherwise: otherwise,
        usesLoop: usesLoop))
  }

  private mutating func set() throws(TinctureError) -> TemplateStatement.Kind {
    let target = try target(withNamespace: true, end: nil)
    if skip(.mark("=")) { return .set(target, try tupleOrExpression()) }
    let filter = kind == .mark("|") ? try filters(on: nil, startsInline: false) : nil
    return .setBlock(target, filter, try ownBody("endset"))
  }

  private mutating func with() throws(TinctureError) -> TemplateStatement.Kind {
    var values: [(target: TemplateTarget, value: TemplateExpression)] = []
    while kind != .blockEnd {
      if !values.isEmpty { try expect(.mark(",")) }
      let target = try target(withNamespace: false, end: nil)
      try expect(.mark("="))
      values.append((target, try expression()))
    }
    return .with(values, try closedBody("endwith"))
  }

  private mutating func macro() throws(TinctureError) -> TemplateStatement.Kind {
    let name = try assignableName()
    try expect(.mark("("))
    var parameters: [(name: String, value: TemplateExpression?)] = []
    while kind != .mark(")") {
      if !parameters.isEmpty { try expect(.mark(",")) }
      let parameter = try assignableName()
      if parameters.contains(where: { $0.name == parameter }) {
        throw TemplateFault.syntax.at(
          line, "a parameter stands twice", found: "'\(parameter)'")
      }
      if skip(.mark("=")) {
        parameters.append((parameter, try expression()))
      } else if parameters.last?.value != nil {
        throw TemplateFault.syntax.at(line, "a parameter without default after one with it")
      } else {
        parameters.append((parameter, nil))
      }
    }
    try expect(.mark(")"))
    return .macro(
      TemplateMacro(name: name, parameters: parameters, body: try ownBody("endmacro")))
  }

  // MARK: Targets

  private mutating func assignableName() throws(TinctureError) -> String {
    let start = line
    let name = try expectName()
    if ["true", "false", "none", "True", "False", "None"].contains(name) {
      throw TemplateFault.syntax.at(start, "nothing can be assigned to '\(name)'")
    }
    if name == "loop" || name.hasPrefix("__") {
      throw TemplateFault.unsupported.at(start, "assigning to '\(name)' is not supported")
    }
    return name
  }

  private mutating func target(
    withNamespace: Bool, end: String?
  ) throws(TinctureError) -> TemplateTarget {
    var parts: [TemplateTarget] = []
    var isTuple = false
    while true {
      if !parts.isEmpty, isTargetEnd(end) { break }
      parts.append(try singleTarget(withNamespace: withNamespace))
      guard skip(.mark(",")) else { break }
      isTuple = true
    }
    return isTuple ? .tuple(parts) : parts[0]
  }

  private func isTargetEnd(_ end: String?) -> Bool {
    if let end, kind == .name(end) { return true }
    return [.variableEnd, .blockEnd, .mark(")"), .mark("=")].contains(kind)
  }

  private mutating func singleTarget(
    withNamespace: Bool
  ) throws(TinctureError) -> TemplateTarget {
    if kind == .mark("(") {
      return try nested { (parser) throws(TinctureError) -> TemplateTarget in
        parser.advance()
        let inner = try parser.target(withNamespace: withNamespace, end: nil)
        try parser.expect(.mark(")"))
        return inner
      }
    }
    let name = try assignableName()
    guard withNamespace, skip(.mark(".")) else { return .name(name) }
    return .attribute(name, try expectName())
  }
}
