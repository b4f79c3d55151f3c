import TinctureCore

/// Jinja's grammar of expressions, loosest binding first.
extension TemplateParser {
  /// A node above `children`; nesting is bounded because evaluation recurses.
  func node(
    _ kind: TemplateExpression.Kind, line: Int, over children: [TemplateExpression] = []
  ) throws(TinctureError) -> TemplateExpression {
    let depth = (children.map(\.depth).max() ?? 0) + 1
    guard depth <= TemplateRenderer.depthLimit else {
      throw TemplateFault.limit.at(
        line, "an expression is too long",
        expected: "at most \(TemplateRenderer.depthLimit) operations one upon the other")
    }
    return TemplateExpression(kind, line: line, depth: depth)
  }

  /// An expression, or several with commas between them: a tuple.
  mutating func tupleOrExpression(
    withConditional: Bool = true, end: String? = nil, inParentheses: Bool = false
  ) throws(TinctureError) -> TemplateExpression {
    let start = line
    var items: [TemplateExpression] = []
    var isTuple = false
    while true {
      if isTupleEnd(end) { break }
      items.append(withConditional ? try expression() : try or())
      guard skip(.mark(",")) else { break }
      isTuple = true
    }
    if !isTuple, let only = items.first { return only }
    guard isTuple || inParentheses else { throw unexpected("an expression") }
    return try node(.tuple(items), line: start, over: items)
  }

  private func isTupleEnd(_ end: String?) -> Bool {
    if let end, kind == .name(end) { return true }
    return kind == .variableEnd || kind == .blockEnd || kind == .mark(")")
  }

  /// `a if b else c`.
  mutating func expression() throws(TinctureError) -> TemplateExpression {
    try nested(levels: 3) { (parser) throws(TinctureError) -> TemplateExpression in
      var start = parser.line
      var value = try parser.or()
      while parser.skip(.name("if")) {
        let test = try parser.or()
        let otherwise = parser.skip(.name("else")) ? try parser.expression() : nil
        value = try parser.node(
          .conditional(test: test, then: value, otherwise: otherwise), line: start,
          over: [test, value] + (otherwise.map { [$0] } ?? []))
        start = parser.line
      }
      return value
    }
  }

  private mutating func or() throws(TinctureError) -> TemplateExpression {
    var left = try and()
    while kind == .name("or") {
      let start = line
      advance()
      let right = try and()
      left = try node(.or(left, right), line: start, over: [left, right])
    }
    return left
  }

  private mutating func and() throws(TinctureError) -> TemplateExpression {
    var left = try not()
    while kind == .name("and") {
      let start = line
      advance()
      let right = try not()
      left = try node(.and(left, right), line: start, over: [left, right])
    }
    return left
  }

  private mutating func not() throws(TinctureError) -> TemplateExpression {
    guard kind == .name("not") else { return try comparison() }
    return try nested { (parser) throws(TinctureError) -> TemplateExpression in
      let start = parser.line
      parser.advance()
      let operand = try parser.not()
      return try parser.node(.not(operand), line: start, over: [operand])
    }
  }

  private mutating func comparison() throws(TinctureError) -> TemplateExpression {
    let start = line
    let first = try sum()
    var rest: [(mark: String, operand: TemplateExpression)] = []
    while true {
      if case .mark(let mark) = kind, ["==", "!=", "<", "<=", ">", ">="].contains(mark) {
        advance()
        rest.append((mark, try sum()))
      } else if skip(.name("in")) {
        rest.append(("in", try sum()))
      } else if kind == .name("not"), following == .name("in") {
        advance()
        advance()
        rest.append(("not in", try sum()))
      } else {
        break
      }
    }
    if rest.isEmpty { return first }
    return try node(.comparison(first, rest), line: start, over: [first] + rest.map(\.operand))
  }

  private mutating func sum() throws(TinctureError) -> TemplateExpression {
    var left = try concatenation()
    while case .mark(let mark) = kind, mark == "+" || mark == "-" {
      let start = line
      advance()
      let right = try concatenation()
      left = try node(.arithmetic(left, mark, right), line: start, over: [left, right])
    }
    return left
  }

  private mutating func concatenation() throws(TinctureError) -> TemplateExpression {
    let start = line
    var parts = [try product()]
    while skip(.mark("~")) { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : try node(.concatenation(parts), line: start, over: parts)
  }

  private mutating func product() throws(TinctureError) -> TemplateExpression {
    var left = try power()
    while case .mark(let mark) = kind, ["*", "/", "//", "%"].contains(mark) {
      let start = line
      advance()
      let right = try power()
      left = try node(.arithmetic(left, mark, right), line: start, over: [left, right])
    }
    return left
  }

  private mutating func power() throws(TinctureError) -> TemplateExpression {
    var left = try unary(withFilters: true)
    while kind == .mark("**") {
      let start = line
      advance()
      let right = try unary(withFilters: true)
      left = try node(.arithmetic(left, "**", right), line: start, over: [left, right])
    }
    return left
  }

  private mutating func unary(withFilters: Bool) throws(TinctureError) -> TemplateExpression {
    let start = line
    var value: TemplateExpression
    if kind == .mark("-") || kind == .mark("+") {
      let isNegative = kind == .mark("-")
      value = try nested { (parser) throws(TinctureError) -> TemplateExpression in
        parser.advance()
        let operand = try parser.unary(withFilters: false)
        return try parser.node(
          .sign(operand, isNegative: isNegative), line: start, over: [operand])
      }
    } else {
      value = try primary()
    }
    value = try postfix(value)
    guard withFilters else { return value }
    while true {
      switch kind {
      case .mark("|"): value = try filters(on: value, startsInline: false)
      case .name("is"): value = try test(value)
      case .mark("("): value = try call(value)
      default: return value
      }
    }
  }

  private mutating func primary() throws(TinctureError) -> TemplateExpression {
    let start = line
    switch kind {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return try node(.bool(true), line: start)
      case "false", "False": return try node(.bool(false), line: start)
      case "none", "None": return try node(.none, line: start)
      default:
        if name == "loop" { mentionsLoop = true }
        return try node(.name(name), line: start)
      }
    case .string(var text):
      advance()
      while case .string(let more) = kind {
        text += more
        advance()
      }
      return try node(.string(text), line: start)
    case .integer(let value):
      advance()
      return try node(.int(value), line: start)
    case .float(let value):
      advance()
      return try node(.float(value), line: start)
    case .mark("("):
      return try nested { (parser) throws(TinctureError) -> TemplateExpression in
        parser.advance()
        let value = try parser.tupleOrExpression(inParentheses: true)
        try parser.expect(.mark(")"))
        return value
      }
    case .mark("["): return try list()
    case .mark("{"): return try dictionary()
    default: throw unexpected("an expression")
    }
  }

  private mutating func list() throws(TinctureError) -> TemplateExpression {
    let start = line
    advance()
    var items: [TemplateExpression] = []
    while kind != .mark("]") {
      if !items.isEmpty { try expect(.mark(",")) }
      if kind == .mark("]") { break }
      items.append(try expression())
    }
    try expect(.mark("]"))
    return try node(.list(items), line: start, over: items)
  }

  private mutating func dictionary() throws(TinctureError) -> TemplateExpression {
    let start = line
    advance()
    var items: [(key: TemplateExpression, value: TemplateExpression)] = []
    while kind != .mark("}") {
      if !items.isEmpty { try expect(.mark(",")) }
      if kind == .mark("}") { break }
      let key = try expression()
      try expect(.mark(":"))
      items.append((key, try expression()))
    }
    try expect(.mark("}"))
    return try node(.dict(items), line: start, over: items.flatMap { [$0.key, $0.value] })
  }

  private mutating func postfix(
    _ operand: TemplateExpression
  ) throws(TinctureError) -> TemplateExpression {
    var value = operand
    while true {
      let start = line
      switch kind {
      case .mark("."):
        advance()
        switch kind {
        case .name(let name):
          value = try node(.attribute(value, name), line: start, over: [value])
        case .integer(let number):
          let index = try node(.int(number), line: start)
          value = try node(.item(value, index), line: start, over: [value, index])
        default: throw unexpected("a name or a number")
        }
        advance()
      case .mark("["): value = try subscripted(value)
      case .mark("("): value = try call(value)
      default: return value
      }
    }
  }

  private mutating func subscripted(
    _ value: TemplateExpression
  ) throws(TinctureError) -> TemplateExpression {
    let start = line
    advance()
    if kind == .mark("]") { throw unexpected("an index") }
    var parts: [TemplateExpression?] = []
    var item: TemplateExpression?
    if kind != .mark(":") { item = try expression() }
    if kind == .mark(":") {
      parts.append(item)
      item = nil
      while parts.count < 3, skip(.mark(":")) {
        let isBlank = [.mark(":"), .mark("]"), .mark(",")].contains(kind)
        parts.append(isBlank ? nil : try expression())
      }
    }
    if kind == .mark(",") {
      throw TemplateFault.unsupported.at(start, "several indices at once are not supported")
    }
    try expect(.mark("]"))
    if let item { return try node(.item(value, item), line: start, over: [value, item]) }
    return try node(
      .slice(value, parts), line: start, over: [value] + parts.compactMap { $0 })
  }

  private mutating func call(
    _ callee: TemplateExpression
  ) throws(TinctureError) -> TemplateExpression {
    let start = line
    let arguments = try arguments()
    return try node(.call(callee, arguments), line: start, over: [callee] + arguments.all)
  }

  private mutating func arguments() throws(TinctureError) -> TemplateArguments {
    try expect(.mark("("))
    var arguments = TemplateArguments()
    while kind != .mark(")") {
      if !arguments.all.isEmpty {
        try expect(.mark(","))
        if kind == .mark(")") { break }
      }
      if kind == .mark("*") || kind == .mark("**") {
        throw TemplateFault.unsupported.at(
          line, "unpacked arguments are not supported", found: TemplateParser.text(of: kind))
      }
      if case .name(let name) = kind, following == .mark("=") {
        if arguments.named.contains(where: { $0.name == name }) {
          throw TemplateFault.syntax.at(line, "an argument stands twice", found: "'\(name)'")
        }
        advance()
        advance()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty else {
          throw TemplateFault.syntax.at(line, "an argument without a name after one with a name")
        }
        arguments.positional.append(try expression())
      }
    }
    try expect(.mark(")"))
    return arguments
  }

  /// One or more filters; `startsInline` when the first has no `|` before it.
  mutating func filters(
    on operand: TemplateExpression?, startsInline: Bool
  ) throws(TinctureError) -> TemplateExpression {
    var value = operand
    var isFirst = startsInline
    repeat {
      if !isFirst { try expect(.mark("|")) }
      isFirst = false
      let start = line
      let name = try dottedName()
      let arguments = kind == .mark("(") ? try arguments() : TemplateArguments()
      if !TemplateNames.filters.contains(name) {
        throw TemplateFault.syntax.at(start, "there is no filter of this name", found: "'\(name)'")
      }
      value = try node(
        .filter(value, name, arguments), line: start,
        over: (value.map { [$0] } ?? []) + arguments.all)
    } while kind == .mark("|")
    guard let value else { throw unexpected("a filter") }
    return value
  }

  private mutating func dottedName() throws(TinctureError) -> String {
    var name = try expectName()
    while skip(.mark(".")) { name += "." + (try expectName()) }
    return name
  }

  private mutating func test(
    _ operand: TemplateExpression
  ) throws(TinctureError) -> TemplateExpression {
    let start = line
    advance()
    let isNegated = skip(.name("not"))
    let name = try dottedName()
    var arguments = TemplateArguments()
    switch kind {
    case .mark("("): arguments = try self.arguments()
    case .name("else"), .name("or"), .name("and"): break
    case .name("is"):
      throw TemplateFault.syntax.at(line, "tests cannot be chained with 'is'")
    case .name, .string, .integer, .float, .mark("["), .mark("{"):
      arguments.positional = [try postfix(try primary())]
    default: break
    }
    if !TemplateNames.tests.contains(name) {
      throw TemplateFault.syntax.at(start, "there is no test of this name", found: "'\(name)'")
    }
    let result = try node(
      .test(operand, name, arguments), line: start, over: [operand] + arguments.all)
    return isNegated ? try node(.not(result), line: start, over: [result]) : result
  }
}
