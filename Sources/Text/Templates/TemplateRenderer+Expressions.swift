import TinctureCore

/// Evaluated arguments of a call.
struct TemplateValues {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []
}

extension TemplateRenderer {
  mutating func evaluate(
    _ expression: TemplateExpression
  ) throws(TinctureError) -> TemplateValue {
    let line = expression.line
    try spend(1, line)
    try enter(line)
    defer { depth -= 1 }
    switch expression.kind {
    case .none: return .none
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .float(let value): return .float(value)
    case .string(let text): return .string(text)
    case .name(let name):
      let value = try lookUp(name, line)
      if case .loop = value {
        throw TemplateFault.unsupported.at(line, "'loop' can only be asked for its parts")
      }
      return value
    case .list(let parts): return try bounded(.make(.list, evaluateAll(parts, line)), line)
    case .tuple(let parts): return try bounded(.make(.tuple, evaluateAll(parts, line)), line)
    case .dict(let parts): return try dictionary(parts, line)
    case .attribute(let operand, let name):
      return try attribute(name, of: subject(operand), line)
    case .item(let operand, let index):
      let value = try subject(operand)
      return try item(evaluate(index), of: value, line)
    case .slice(let operand, let bounds): return try slice(operand, bounds, line)
    case .call(let callee, let arguments):
      return try bounded(call(callee, arguments, line), line)
    case .filter(let operand, let name, let arguments):
      guard let operand else { return .undefined("a filter's input") }
      let value = try evaluate(operand)
      return try bounded(
        apply(filter: name, to: value, arguments: evaluate(arguments), line), line)
    case .test(let operand, let name, let arguments):
      let value = try subject(operand)
      return .bool(try passes(test: name, value, arguments: evaluate(arguments), line))
    case .not(let operand): return .bool(try !evaluate(operand).isTrue)
    case .sign(let operand, let isNegative):
      return try signed(evaluate(operand), isNegative: isNegative, line)
    case .arithmetic(let left, let mark, let right):
      let first = try evaluate(left)
      return try arithmetic(first, mark, evaluate(right), line)
    case .and(let left, let right):
      let first = try evaluate(left)
      return first.isTrue ? try evaluate(right) : first
    case .or(let left, let right):
      let first = try evaluate(left)
      return first.isTrue ? first : try evaluate(right)
    case .concatenation(let parts):
      var text: TemplateText = []
      for part in parts { text += try self.text(of: evaluate(part), line) }
      try spend(text.count, line)
      return .string(text)
    case .comparison(let first, let rest): return try compare(first, rest, line)
    case .conditional(let test, let then, let otherwise):
      if try evaluate(test).isTrue { return try evaluate(then) }
      guard let otherwise else { return .undefined("an if without else") }
      return try evaluate(otherwise)
    }
  }

  /// What a part is asked of: here the name `loop` may stand.
  private mutating func subject(
    _ expression: TemplateExpression
  ) throws(TinctureError) -> TemplateValue {
    guard case .name(let name) = expression.kind else { return try evaluate(expression) }
    return try lookUp(name, expression.line)
  }

  private mutating func evaluateAll(
    _ parts: [TemplateExpression], _ line: Int
  ) throws(TinctureError) -> [TemplateValue] {
    try spendItems(parts.count, line)
    var values: [TemplateValue] = []
    for part in parts { values.append(try evaluate(part)) }
    return values
  }

  mutating func evaluate(
    _ arguments: TemplateArguments
  ) throws(TinctureError) -> TemplateValues {
    var values = TemplateValues()
    for part in arguments.positional { values.positional.append(try evaluate(part)) }
    for part in arguments.named { values.named.append((part.name, try evaluate(part.value))) }
    return values
  }

  private mutating func dictionary(
    _ parts: [(key: TemplateExpression, value: TemplateExpression)], _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    var dict = TemplateDict()
    try spendItems(parts.count * 2, line)
    for part in parts {
      let key = try evaluate(part.key)
      try put(evaluate(part.value), for: key, in: &dict, line)
    }
    return try bounded(.dict(dict), line)
  }

  /// The value, unless it holds others so deeply that leaving it would take too much of the stack.
  private func bounded(
    _ value: TemplateValue, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    guard value.depth <= TemplateRenderer.depthLimit else {
      throw TemplateFault.limit.at(line, "lists or mappings are nested too deeply")
    }
    return value
  }

  mutating func put(
    _ value: TemplateValue, for key: TemplateValue, in dict: inout TemplateDict, _ line: Int
  ) throws(TinctureError) {
    switch key {
    case .string, .int, .bool, .float, .none: break
    default:
      throw TemplateFault.unsupported.at(
        line, "a mapping's key of this sort is not supported", found: key.sort)
    }
    if let index = try index(of: key, in: dict, line) {
      dict.set(value, at: index)
    } else {
      dict.append(value, for: key)
    }
  }

  /// Where `key` stands in a mapping. Cost: its length.
  mutating func index(
    of key: TemplateValue, in dict: TemplateDict, _ line: Int
  ) throws(TinctureError) -> Int? {
    try spend(dict.entries.count, line)
    for (index, entry) in dict.entries.enumerated() where try equal(entry.key, key, line) {
      return index
    }
    return nil
  }

  mutating func lookUp(_ name: String, _ line: Int) throws(TinctureError) -> TemplateValue {
    if let value = scope.value(name) ?? globals[name] { return value }
    if TemplateRenderer.functions.contains(name) { return .function(name) }
    if TemplateNames.unsupported.contains(name) {
      throw TemplateFault.unsupported.at(line, "the name '\(name)' is not supported")
    }
    return .undefined("'\(name)'")
  }

  // MARK: Parts of values

  /// `value.name`: a key of a mapping, a value of a namespace or of `loop`; methods are reached by a call only.
  mutating func attribute(
    _ name: String, of value: TemplateValue, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    if name.hasPrefix("__") {
      throw TemplateFault.unsupported.at(line, "the attribute '\(name)' is not supported")
    }
    let methods: Set<String>
    switch value {
    case .undefined: throw undefined(value, line)
    case .loop(let state): return try loopValue(name, state, line)
    case .namespace(let namespace): return namespace.values[name] ?? .undefined("'\(name)'")
    case .dict: methods = TemplateNames.dictMethods
    case .string: methods = TemplateNames.stringMethods
    case .sequence: methods = TemplateNames.listMethods
    case .bool, .int, .float: methods = TemplateNames.numberAttributes
    case .none: methods = []
    case .lazy, .macro, .function:
      throw TemplateFault.unsupported.at(
        line, "the attribute '\(name)' is not supported", found: value.sort)
    }
    if methods.contains(name) {
      throw TemplateFault.unsupported.at(
        line, "the method '\(name)' can only be called", found: value.sort)
    }
    if case .dict(let dict) = value, let index = try index(of: .text(name), in: dict, line) {
      return dict.entries[index].value
    }
    return .undefined("'\(name)'")
  }

  func undefined(_ value: TemplateValue, _ line: Int) -> TinctureError {
    TemplateFault.value.at(line, "a value that is needed is missing", found: value.sort)
  }

  /// `value[key]`.
  mutating func item(
    _ key: TemplateValue, of value: TemplateValue, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    func at<T>(_ items: [T]) -> T? {
      guard let index = key.integer else { return nil }
      let place = index < 0 ? items.count + index : index
      return items.indices.contains(place) ? items[place] : nil
    }
    switch value {
    case .undefined: throw undefined(value, line)
    case .sequence(let kind, let items) where kind != .view:
      if let found = at(items.values) { return found }
    case .string(let text):
      if let found = at(text) { return .string([found]) }
    case .dict(let dict):
      if let index = try index(of: key, in: dict, line) { return dict.entries[index].value }
    default: break
    }
    guard case .string(let name) = key else { return .undefined("an item") }
    // Jinja then looks for an attribute of that name.
    if case .dict = value, !TemplateNames.dictMethods.contains(name.string) {
      return .undefined("'\(name.string)'")
    }
    return try attribute(name.string, of: value, line)
  }

  private mutating func slice(
    _ operand: TemplateExpression, _ bounds: [TemplateExpression?], _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    let value = try evaluate(operand)
    var numbers: [Int?] = []
    var isValid = true
    for bound in bounds {
      let number: TemplateValue = if let bound { try evaluate(bound) } else { .none }
      if !number.isNone, number.integer == nil { isValid = false }
      numbers.append(number.integer)
    }
    while numbers.count < 3 { numbers.append(nil) }
    if case .undefined = value { throw undefined(value, line) }
    switch value {
    case .sequence(let kind, let items) where kind != .view && isValid:
      let chosen = try TemplateRenderer.slice(items.values, numbers, line)
      try spendItems(chosen.count, line)
      return .make(kind, chosen)
    case .string(let text) where isValid:
      let chosen = try TemplateRenderer.slice(text, numbers, line)
      try spend(chosen.count, line)
      return .string(chosen)
    default: return .undefined("a slice of \(value.sort)")
    }
  }

  /// Python's slice of start, stop and step.
  private static func slice<T>(
    _ items: [T], _ bounds: [Int?], _ line: Int
  ) throws(TinctureError) -> [T] {
    let step = bounds[2] ?? 1
    guard step != 0 else { throw TemplateFault.value.at(line, "a slice with step zero") }
    func clamped(_ bound: Int?, _ whenAbsent: Int) -> Int {
      guard let bound else { return whenAbsent }
      let place = bound < 0 ? bound.addingReportingOverflow(items.count).partialValue : bound
      return step > 0 ? min(max(place, 0), items.count) : min(max(place, -1), items.count - 1)
    }
    let start = clamped(bounds[0], step > 0 ? 0 : items.count - 1)
    let stop = clamped(bounds[1], step > 0 ? items.count : -1)
    return stride(from: start, to: stop, by: step).map { items[$0] }
  }

  /// The parts of `loop`.
  private func loopValue(
    _ name: String, _ loop: TemplateLoopState, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    let count = loop.items.count
    switch name {
    case "index": return .int(loop.index + 1)
    case "index0": return .int(loop.index)
    case "revindex": return .int(count - loop.index)
    case "revindex0": return .int(count - loop.index - 1)
    case "first": return .bool(loop.index == 0)
    case "last": return .bool(loop.index == count - 1)
    case "length": return .int(count)
    // Counts recursion, of which there is none.
    case "depth": return .int(1)
    case "depth0": return .int(0)
    case "previtem":
      return loop.index == 0 ? .undefined("'previtem'") : loop.items[loop.index - 1]
    case "nextitem":
      return loop.index == count - 1 ? .undefined("'nextitem'") : loop.items[loop.index + 1]
    case "cycle", "changed":
      throw TemplateFault.unsupported.at(line, "'loop.\(name)' is not supported")
    default: return .undefined("'loop.\(name)'")
    }
  }
}
