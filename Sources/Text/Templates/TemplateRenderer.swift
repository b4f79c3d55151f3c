import TinctureCore

/// Carries out a template's statements for one conversation.
///
/// Every step and every scalar or item made costs fuel, so time, memory and output are bounded whatever the template
/// does; the depth of evaluation is bounded too. Nothing but the given values can be reached.
struct TemplateRenderer {
  /// How the statements of a body ended.
  enum Flow {
    case onward, breakLoop, continueLoop
  }

  /// The deepest evaluation, of statements, expressions, macros and what values hold.
  static let depthLimit = 200

  let globals: [String: TemplateValue]
  let now: CalendarTime?
  private(set) var fuel: Int
  var depth = 0
  var scope = TemplateScope(parent: nil)
  private(set) var output: TemplateText = []
  let kept = TemplateKeep()

  static let functions: Set<String> = [
    "dict", "namespace", "raise_exception", "range", "strftime_now",
  ]

  init(globals: [String: TemplateValue], now: CalendarTime?, fuel: Int) {
    self.globals = globals
    self.now = now
    self.fuel = fuel
  }

  /// Pays for `amount` scalars or steps.
  mutating func spend(_ amount: Int, _ line: Int) throws(TinctureError) {
    guard amount <= fuel else {
      throw TemplateFault.limit.at(
        line, "rendering the template takes more steps or memory than a conversation needs")
    }
    fuel -= amount
  }

  /// Pays for `count` values in a list.
  mutating func spendItems(_ count: Int, _ line: Int) throws(TinctureError) {
    let (cost, overflow) = count.multipliedReportingOverflow(by: 8)
    try spend(overflow ? .max : cost, line)
  }

  mutating func enter(_ line: Int) throws(TinctureError) {
    depth += 1
    guard depth <= TemplateRenderer.depthLimit else {
      throw TemplateFault.limit.at(
        line, "evaluation is nested too deeply",
        expected: "at most \(TemplateRenderer.depthLimit) levels")
    }
  }

  /// Writes text to the output. Cost: its length.
  mutating func write(_ text: TemplateText, _ line: Int) throws(TinctureError) {
    try spend(text.count, line)
    output += text
  }

  mutating func run(_ body: [TemplateStatement]) throws(TinctureError) -> Flow {
    depth += 1
    defer { depth -= 1 }
    for statement in body {
      try spend(1, statement.line)
      let flow = try run(statement)
      if flow != .onward { return flow }
    }
    return .onward
  }

  private mutating func run(_ statement: TemplateStatement) throws(TinctureError) -> Flow {
    let line = statement.line
    if depth > TemplateRenderer.depthLimit {
      try enter(line)
    }
    switch statement.kind {
    case .text(let text): try write(text, line)
    case .output(let expression):
      try write(text(of: evaluate(expression), line), line)
    case .branches(let parts, let otherwise):
      for part in parts where try evaluate(part.test).isTrue { return try run(part.body) }
      return try run(otherwise)
    case .loop(let loop): try run(loop, line)
    case .set(let target, let expression):
      try assign(evaluate(expression), to: target, line)
    case .setBlock(let target, let filter, let body):
      let text = try captured(line, in: TemplateScope(parent: scope), body)
      try assign(filtered(.string(text), filter), to: target, line)
    case .filterBlock(let filter, let body):
      let text = try captured(line, in: TemplateScope(parent: scope), body)
      try write(self.text(of: filtered(.string(text), filter), line), line)
    case .with(let values, let body): return try run(values, body, line)
    case .macro(let macro):
      try spendItems(4, line)
      kept.scopes.append(scope)
      scope.values[macro.name] = .macro(TemplateClosure(macro: macro, scope: scope))
    case .generation(let body):
      _ = try inScope(TemplateScope(parent: scope)) { (renderer) throws(TinctureError) -> Flow in
        try renderer.run(body)
      }
    case .breakLoop: return .breakLoop
    case .continueLoop: return .continueLoop
    }
    return .onward
  }

  /// Runs `body` with `inner` as the scope of names.
  mutating func inScope<R>(
    _ inner: TemplateScope, _ body: (inout TemplateRenderer) throws(TinctureError) -> R
  ) throws(TinctureError) -> R {
    let outer = scope
    scope = inner
    defer { scope = outer }
    return try body(&self)
  }

  /// What `body` writes, in place of writing it.
  mutating func captured(
    _ line: Int, in inner: TemplateScope, _ body: [TemplateStatement]
  ) throws(TinctureError) -> TemplateText {
    let outer = output
    output = []
    defer { output = outer }
    _ = try inScope(inner) { (renderer) throws(TinctureError) -> Flow in
      try renderer.run(body)
    }
    return output
  }

  private mutating func filtered(
    _ value: TemplateValue, _ filter: TemplateExpression?
  ) throws(TinctureError) -> TemplateValue {
    guard let filter, case .filter(let operand, let name, let arguments) = filter.kind else {
      return value
    }
    let input = try filtered(value, operand)
    return try apply(filter: name, to: input, arguments: evaluate(arguments), filter.line)
  }

  private mutating func run(
    _ values: [(target: TemplateTarget, value: TemplateExpression)], _ body: [TemplateStatement],
    _ line: Int
  ) throws(TinctureError) -> Flow {
    let inner = TemplateScope(parent: scope)
    var evaluated: [TemplateValue] = []
    for entry in values { evaluated.append(try evaluate(entry.value)) }
    return try inScope(inner) { (renderer) throws(TinctureError) -> Flow in
      for (entry, value) in zip(values, evaluated) {
        try renderer.assign(value, to: entry.target, line)
      }
      return try renderer.run(body)
    }
  }

  // MARK: Loops

  private mutating func run(_ loop: TemplateLoop, _ line: Int) throws(TinctureError) {
    var items = try self.items(of: evaluate(loop.sequence), loop.sequence.line)
    if loop.usesLoop, let filter = loop.filter {
      var chosen: [TemplateValue] = []
      for item in items where try passes(item, filter, loop) { chosen.append(item) }
      items = chosen
    }
    let state = TemplateLoopState(items: items)
    // Jinja's else also follows a loop of which no round came to its end.
    var isEmpty = true
    for (index, item) in items.enumerated() {
      try spend(1, line)
      if !loop.usesLoop, let filter = loop.filter, try !passes(item, filter, loop) { continue }
      state.index = index
      let inner = TemplateScope(parent: scope)
      if loop.usesLoop { inner.values["loop"] = .loop(state) }
      let flow = try inScope(inner) { (renderer) throws(TinctureError) -> Flow in
        try renderer.assign(item, to: loop.target, line)
        return try renderer.run(loop.body)
      }
      if flow == .breakLoop { break }
      if flow == .onward { isEmpty = false }
    }
    if isEmpty {
      _ = try inScope(TemplateScope(parent: scope)) { (renderer) throws(TinctureError) -> Flow in
        try renderer.run(loop.otherwise)
      }
    }
  }

  private mutating func passes(
    _ item: TemplateValue, _ filter: TemplateExpression, _ loop: TemplateLoop
  ) throws(TinctureError) -> Bool {
    try inScope(TemplateScope(parent: scope)) { (renderer) throws(TinctureError) -> Bool in
      try renderer.assign(item, to: loop.target, filter.line)
      return try renderer.evaluate(filter).isTrue
    }
  }

  /// The items a loop goes through.
  mutating func items(
    of value: TemplateValue, _ line: Int
  ) throws(TinctureError) -> [TemplateValue] {
    switch value {
    case .undefined: return []
    case .sequence(_, let items): return items.values
    case .lazy(let generator): return generator.rest()
    case .string(let text):
      try spendItems(text.count * 2, line)
      return text.map { .string([$0]) }
    case .dict(let dict):
      try spendItems(dict.entries.count, line)
      return dict.entries.map(\.key)
    default:
      throw TemplateFault.value.at(
        line, "the value cannot be gone through", expected: "a list, a mapping or a string",
        found: value.sort)
    }
  }

  // MARK: Assignment

  private mutating func assign(
    _ value: TemplateValue, to target: TemplateTarget, _ line: Int
  ) throws(TinctureError) {
    switch target {
    case .name(let name): scope.values[name] = value
    case .attribute(let name, let attribute):
      guard case .namespace(let namespace) = try lookUp(name, line) else {
        throw TemplateFault.value.at(
          line, "'\(name)' is no namespace, so '\(name).\(attribute)' cannot be set")
      }
      namespace.values[attribute] = value
    case .tuple(let targets):
      let items = try self.items(of: value, line)
      guard items.count == targets.count else {
        throw TemplateFault.value.at(
          line, "the wrong number of values for the names", expected: "\(targets.count)",
          found: "\(items.count)")
      }
      for (item, target) in zip(items, targets) { try assign(item, to: target, line) }
    }
  }
}
