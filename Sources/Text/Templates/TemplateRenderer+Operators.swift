import TinctureCore

extension TemplateRenderer {
  // MARK: Arithmetic

  func signed(
    _ value: TemplateValue, isNegative: Bool, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    if let integer = value.integer {
      guard isNegative else { return .int(integer) }
      return .int(try exact(Int(0).subtractingReportingOverflow(integer), line))
    }
    if case .float(let number) = value { return .float(isNegative ? -number : number) }
    throw wrong(isNegative ? "-" : "+", value, nil, line)
  }

  private func exact(
    _ result: (partialValue: Int, overflow: Bool), _ line: Int
  ) throws(TinctureError) -> Int {
    guard !result.overflow else {
      throw TemplateFault.limit.at(line, "a number beyond 64 bits")
    }
    return result.partialValue
  }

  private func wrong(
    _ mark: String, _ left: TemplateValue, _ right: TemplateValue?, _ line: Int
  ) -> TinctureError {
    for value in [left, right] {
      if let value, value.isUndefined { return undefined(value, line) }
    }
    return TemplateFault.value.at(
      line, "'\(mark)' does not fit the values",
      found: left.sort + (right.map { " and \($0.sort)" } ?? ""))
  }

  mutating func arithmetic(
    _ left: TemplateValue, _ mark: String, _ right: TemplateValue, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    if let a = left.integer, let b = right.integer { return try whole(a, mark, b, line) }
    if let a = left.number, let b = right.number { return try real(a, mark, b, line) }
    switch (left, mark, right) {
    case (.string(let a), "+", .string(let b)):
      try spend(a.count + b.count, line)
      return .string(a + b)
    case (.sequence(let kind, let a), "+", .sequence(let other, let b))
    where kind == other && (kind == .list || kind == .tuple):
      try spendItems(a.values.count + b.values.count, line)
      return .make(kind, a.values + b.values)
    case (.string(let text), "*", _):
      guard let count = right.integer else { break }
      return .string(try repeated(text, count, cost: 1, line))
    case (_, "*", .string(let text)):
      guard let count = left.integer else { break }
      return .string(try repeated(text, count, cost: 1, line))
    case (.sequence(let kind, let items), "*", _) where kind == .list || kind == .tuple:
      guard let count = right.integer else { break }
      return .make(kind, try repeated(items.values, count, cost: 8, line))
    case (.string, "%", _):
      throw TemplateFault.unsupported.at(line, "formatting a string with '%' is not supported")
    default: break
    }
    throw wrong(mark, left, right, line)
  }

  private mutating func repeated<T>(
    _ items: [T], _ count: Int, cost: Int, _ line: Int
  ) throws(TinctureError) -> [T] {
    let count = items.isEmpty ? 0 : max(0, count)
    let (total, overflow) = count.multipliedReportingOverflow(by: items.count * cost)
    try spend(overflow ? .max : total, line)
    var result: [T] = []
    result.reserveCapacity(count * items.count)
    for _ in 0..<count { result += items }
    return result
  }

  private func whole(
    _ a: Int, _ mark: String, _ b: Int, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    switch mark {
    case "+": return .int(try exact(a.addingReportingOverflow(b), line))
    case "-": return .int(try exact(a.subtractingReportingOverflow(b), line))
    case "*": return .int(try exact(a.multipliedReportingOverflow(by: b), line))
    case "/": return .float(Double(a) / Double(try divisor(b, line)))
    case "//":
      let (quotient, overflow) = a.dividedReportingOverflow(by: try divisor(b, line))
      let floor = !overflow && quotient &* b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient
      return .int(try exact((floor, overflow), line))
    case "%":
      let rest = a.remainderReportingOverflow(dividingBy: try divisor(b, line)).partialValue
      return .int(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest)
    default:
      if b < 0 {
        _ = try divisor(a, line)
        throw TemplateFault.unsupported.at(line, "a negative power is not supported")
      }
      return .int(try power(a, b, line))
    }
  }

  private func power(_ base: Int, _ exponent: Int, _ line: Int) throws(TinctureError) -> Int {
    if exponent == 0 || base == 1 { return 1 }
    if base == 0 { return 0 }
    if base == -1 { return exponent.isMultiple(of: 2) ? 1 : -1 }
    var result = 1
    // Overflows within 64 steps.
    for _ in 0..<exponent { result = try exact(result.multipliedReportingOverflow(by: base), line) }
    return result
  }

  private func divisor(_ value: Int, _ line: Int) throws(TinctureError) -> Int {
    guard value != 0 else { throw TemplateFault.value.at(line, "a division by zero") }
    return value
  }

  private func real(
    _ a: Double, _ mark: String, _ b: Double, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    switch mark {
    case "+": return .float(a + b)
    case "-": return .float(a - b)
    case "*": return .float(a * b)
    case "/":
      guard b != 0 else { throw TemplateFault.value.at(line, "a division by zero") }
      return .float(a / b)
    default:
      throw TemplateFault.unsupported.at(line, "'\(mark)' on fractional numbers is not supported")
    }
  }

  // MARK: Comparison

  mutating func compare(
    _ first: TemplateExpression, _ rest: [(mark: String, operand: TemplateExpression)], _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    var left = try evaluate(first)
    for part in rest {
      let right = try evaluate(part.operand)
      guard try holds(left, part.mark, right, line) else { return .bool(false) }
      left = right
    }
    return .bool(true)
  }

  mutating func holds(
    _ left: TemplateValue, _ mark: String, _ right: TemplateValue, _ line: Int
  ) throws(TinctureError) -> Bool {
    switch mark {
    case "==": try equal(left, right, line)
    case "!=": try !equal(left, right, line)
    case "in": try contains(right, left, line)
    case "not in": try !contains(right, left, line)
    case "<": try isBefore(left, right, mark, line)
    case ">": try isBefore(right, left, mark, line)
    case "<=": try isBefore(left, right, mark, line) ? true : equal(left, right, line)
    default: try isBefore(right, left, mark, line) ? true : equal(left, right, line)
    }
  }

  /// Python's `==`. Cost: the size of what is compared.
  mutating func equal(
    _ left: TemplateValue, _ right: TemplateValue, _ line: Int
  ) throws(TinctureError) -> Bool {
    try spend(1, line)
    if let a = left.integer, let b = right.integer { return a == b }
    if let a = left.number, let b = right.number { return a == b }
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)):
      guard a.count == b.count else { return false }
      try spend(a.count / 8, line)
      return a == b
    case (.sequence(let kind, let a), .sequence(let other, let b)):
      guard kind == other, a.values.count == b.values.count else { return false }
      if kind == .view {
        throw TemplateFault.unsupported.at(line, "comparing views of mappings is not supported")
      }
      try enter(line)
      defer { depth -= 1 }
      for (x, y) in zip(a.values, b.values) where try !equal(x, y, line) { return false }
      return true
    case (.dict(let a), .dict(let b)):
      guard a.entries.count == b.entries.count else { return false }
      try enter(line)
      defer { depth -= 1 }
      for entry in a.entries {
        guard let place = try index(of: entry.key, in: b, line),
          try equal(entry.value, b.entries[place].value, line)
        else { return false }
      }
      return true
    case (.lazy(let a), .lazy(let b)): return a === b
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.macro(let a), .macro(let b)): return a === b
    case (.function(let a), .function(let b)): return a == b
    case (.loop(let a), .loop(let b)): return a === b
    default: return false
    }
  }

  /// Python's `<`; `mark` is what the template says.
  mutating func isBefore(
    _ left: TemplateValue, _ right: TemplateValue, _ mark: String, _ line: Int
  ) throws(TinctureError) -> Bool {
    if let a = left.integer, let b = right.integer { return a < b }
    if let a = left.number, let b = right.number { return a < b }
    switch (left, right) {
    case (.string(let a), .string(let b)):
      try spend(min(a.count, b.count) / 8, line)
      return a.lexicographicallyPrecedes(b)
    case (.sequence(.list, let a), .sequence(.list, let b)),
      (.sequence(.tuple, let a), .sequence(.tuple, let b)):
      try enter(line)
      defer { depth -= 1 }
      for (x, y) in zip(a.values, b.values) where try !equal(x, y, line) {
        return try isBefore(x, y, mark, line)
      }
      return a.values.count < b.values.count
    default: throw wrong(mark, left, right, line)
    }
  }

  /// Python's `item in container`.
  mutating func contains(
    _ container: TemplateValue, _ item: TemplateValue, _ line: Int
  ) throws(TinctureError) -> Bool {
    switch container {
    case .undefined: return false
    case .string(let text):
      guard case .string(let part) = item else { throw wrong("in", item, container, line) }
      return try find(part, in: text, from: 0, line) != nil
    case .sequence(_, let items):
      for candidate in items.values where try equal(candidate, item, line) { return true }
      return false
    case .lazy(let generator):
      while generator.position < generator.items.count {
        generator.position += 1
        if try equal(generator.items[generator.position - 1], item, line) { return true }
      }
      return false
    case .dict(let dict):
      try needKey(item, line)
      return try index(of: item, in: dict, line) != nil
    default: throw wrong("in", item, container, line)
    }
  }

  /// Refuses what Python cannot look up in a mapping.
  func needKey(_ value: TemplateValue, _ line: Int) throws(TinctureError) {
    guard value.isHashable else {
      throw TemplateFault.value.at(line, "no mapping has such a key", found: value.sort)
    }
  }

  /// Where `part` first stands in `text` at or after `start`. Cost: what is compared.
  mutating func find(
    _ part: TemplateText, in text: TemplateText, from start: Int, _ line: Int
  ) throws(TinctureError) -> Int? {
    guard let first = part.first else { return start <= text.count ? start : nil }
    var index = start
    while index + part.count <= text.count {
      if text[index] == first {
        var length = 1
        while length < part.count, text[index + length] == part[length] { length += 1 }
        try spend(length / 4, line)
        if length == part.count { return index }
      }
      index += 1
    }
    try spend(max(0, text.count - start) / 8, line)
    return nil
  }
}
