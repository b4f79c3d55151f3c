import TinctureCore

/// Filters that go through lists, the tests they and `is` use, and numbers.
extension TemplateRenderer {
  mutating func mapped(
    _ value: TemplateValue, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    var results: [TemplateValue] = []
    if arguments.positional.isEmpty {
      let bound = try TemplateBinding(
        arguments, to: ["attribute", "default"], of: "map", line)
      guard let path = bound[0] else {
        throw TemplateFault.value.at(line, "'map' needs a filter or an attribute")
      }
      for item in try items(of: value, line) {
        try spendItems(1, line)
        let found = try part(path, of: item, line)
        results.append(found.isUndefined ? bound[1] ?? found : found)
      }
    } else {
      guard case .string(let name) = arguments.positional[0],
        TemplateNames.filters.contains(name.string)
      else { throw TemplateFault.value.at(line, "'map' needs the name of a filter") }
      var rest = arguments
      rest.positional.removeFirst()
      for item in try items(of: value, line) {
        try spendItems(1, line)
        results.append(try apply(filter: name.string, to: item, arguments: rest, line))
      }
    }
    return .lazy(TemplateGenerator(results))
  }

  mutating func selected(
    _ value: TemplateValue, _ name: String, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    var rest = arguments
    var path: TemplateValue?
    if name.hasSuffix("attr") {
      guard !rest.positional.isEmpty else {
        throw TemplateFault.value.at(line, "'\(name)' needs the name of an attribute")
      }
      path = rest.positional.removeFirst()
    }
    var test: String?
    if !rest.positional.isEmpty {
      guard case .string(let text) = rest.positional.removeFirst() else {
        throw TemplateFault.value.at(line, "'\(name)' needs the name of a test")
      }
      test = text.string
    }
    var chosen: [TemplateValue] = []
    for item in try items(of: value, line) {
      try spendItems(1, line)
      let subject = if let path { try part(path, of: item, line) } else { item }
      let holds =
        if let test { try passes(test: test, subject, arguments: rest, line) } else {
          subject.isTrue
        }
      if holds == name.hasPrefix("select") { chosen.append(item) }
    }
    return .lazy(TemplateGenerator(chosen))
  }

  /// The members of a mapping by key, or by value, letters of either case alike.
  mutating func sortedItems(
    _ value: TemplateValue, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    let bound = try TemplateBinding(
      arguments, to: ["case_sensitive", "by", "reverse"], of: "dictsort", line)
    guard case .dict(let dict) = value, bound[1] == nil else {
      throw TemplateFault.unsupported.at(
        line, "'dictsort' sorts mappings by key only", found: value.sort)
    }
    let keepsCase = bound[0]?.isTrue ?? false
    var keyed: [(key: TemplateText, item: TemplateValue)] = []
    for entry in dict.entries {
      guard case .string(let key) = entry.key else {
        throw TemplateFault.unsupported.at(line, "'dictsort' needs keys that are strings")
      }
      try spendItems(4, line)
      keyed.append(
        (
          keepsCase ? key : try cased(key, "lower", line),
          .make(.tuple, [entry.key, entry.value])
        ))
    }
    let isReversed = bound[2]?.isTrue ?? false
    // Sorting is stable, also downwards.
    let order = keyed.indices.sorted { first, second in
      let (a, b) = (keyed[first].key, keyed[second].key)
      if a == b { return first < second }
      return a.lexicographicallyPrecedes(b) != isReversed
    }
    try spend(keyed.count * 16, line)
    return .list(order.map { keyed[$0].item })
  }

  // MARK: Numbers

  mutating func number(
    _ value: TemplateValue, _ name: String, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    if value.isUndefined { throw undefined(value, line) }
    switch name {
    case "abs":
      _ = try TemplateBinding(arguments, to: [], of: name, line)
      if let whole = value.integer {
        return whole < 0 ? try signed(value, isNegative: true, line) : .int(whole)
      }
      if case .float(let real) = value { return .float(real.magnitude) }
      throw TemplateFault.value.at(line, "'abs' needs a number", found: value.sort)
    case "float":
      let bound = try TemplateBinding(arguments, to: ["default"], of: name, line)
      if let real = value.number { return .float(real) }
      if case .string(let text) = value, let real = try decimal(text, line) { return .float(real) }
      return bound[0] ?? .float(0)
    default:
      let bound = try TemplateBinding(arguments, to: ["default", "base"], of: name, line)
      if let base = bound[1], base.integer != 10 {
        throw TemplateFault.unsupported.at(line, "'int' reads decimal numbers only")
      }
      let standard = bound[0] ?? .int(0)
      if let whole = value.integer { return .int(whole) }
      var real: Double?
      if case .float(let number) = value { real = number }
      if case .string(let text) = value {
        let digits = try plainNumber(text, line)
        if let digits, let whole = Int(digits) { return .int(whole) }
        real = digits.flatMap(Double.init)
      }
      guard let real, real.isFinite else { return standard }
      guard real.magnitude < 0x1p63 else {
        throw TemplateFault.limit.at(line, "a number beyond 64 bits")
      }
      return .int(Int(real))
    }
  }

  private mutating func decimal(
    _ text: TemplateText, _ line: Int
  ) throws(TinctureError) -> Double? {
    try plainNumber(text, line).flatMap(Double.init)
  }

  /// A decimal number as Python reads it: spaces around, single underscores between digits; nil for anything else.
  private mutating func plainNumber(
    _ text: TemplateText, _ line: Int
  ) throws(TinctureError) -> String? {
    let core = try strip(text, .none, start: true, end: true, "int", line)
    var digits = ""
    for (index, scalar) in core.enumerated() {
      if scalar == "_" {
        guard index > 0, index + 1 < core.count, core[index - 1].isTemplateDigit,
          core[index + 1].isTemplateDigit
        else { return nil }
        continue
      }
      guard scalar.isTemplateDigit || ["+", "-", ".", "e", "E"].contains(scalar) else {
        let isWord =
          !scalar.isASCII
          || ["inf", "nan", "infinity"].contains(
            TemplateText(core.drop { $0 == "+" || $0 == "-" }).string.lowercased())
        guard isWord else { return nil }
        throw TemplateFault.unsupported.at(line, "a number written in this way is not supported")
      }
      digits.unicodeScalars.append(scalar)
    }
    return digits
  }

  // MARK: Tests

  mutating func passes(
    test name: String, _ value: TemplateValue, arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> Bool {
    func bind(_ parameters: String...) throws(TinctureError) -> TemplateBinding {
      try TemplateBinding(arguments, to: parameters, of: name, line)
    }
    func operand() throws(TinctureError) -> TemplateValue {
      guard let other = try bind("other")[0] else {
        throw TemplateFault.value.at(line, "the test '\(name)' needs a value to compare with")
      }
      return other
    }
    let comparison: [String: String] = [
      "eq": "==", "equalto": "==", "==": "==", "ne": "!=", "!=": "!=", "lt": "<", "lessthan": "<",
      "<": "<", "le": "<=", "<=": "<=", "gt": ">", "greaterthan": ">", ">": ">", "ge": ">=",
      ">=": ">=", "in": "in",
    ]
    if let mark = comparison[name] { return try holds(value, mark, operand(), line) }
    switch name {
    case "divisibleby":
      let other = try operand()
      guard case .int(0) = try arithmetic(value, "%", other, line) else { return false }
      return true
    case "sameas":
      let other = try operand()
      switch (value, other) {
      case (.none, .none): return true
      case (.bool(let a), .bool(let b)): return a == b
      case (.none, _), (.bool, _), (_, .none), (_, .bool): return false
      default:
        throw TemplateFault.unsupported.at(
          line, "'sameas' compares true, false and none only", found: value.sort)
      }
    default: break
    }
    guard let result = try passes(plainTest: name, value, line) else {
      let isKnown = TemplateNames.tests.contains(name)
      throw (isKnown ? TemplateFault.unsupported : .syntax).at(
        line, isKnown ? "the test '\(name)' is not supported" : "there is no test '\(name)'")
    }
    _ = try bind()
    return result
  }

  /// A test without an operand; nil when there is none of this name.
  private mutating func passes(
    plainTest name: String, _ value: TemplateValue, _ line: Int
  ) throws(TinctureError) -> Bool? {
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": return value.isNone
    case "true", "false":
      if case .bool(let truth) = value { return truth == (name == "true") }
      return false
    case "boolean": if case .bool = value { return true } else { return false }
    case "integer": if case .int = value { return true } else { return false }
    case "float": if case .float = value { return true } else { return false }
    case "number": return value.number != nil
    case "string": if case .string = value { return true } else { return false }
    case "mapping": if case .dict = value { return true } else { return false }
    case "sequence":
      switch value {
      case .string, .dict, .undefined: return true
      case .sequence(let kind, _): return kind != .view
      default: return false
      }
    case "iterable":
      switch value {
      case .string, .dict, .undefined, .sequence, .lazy, .loop: return true
      default: return false
      }
    case "callable":
      switch value {
      case .macro, .function, .undefined: return true
      default: return false
      }
    case "odd", "even":
      guard case .int(let rest) = try arithmetic(value, "%", .int(2), line) else {
        throw TemplateFault.value.at(line, "'\(name)' needs a whole number", found: value.sort)
      }
      return (rest == 1) == (name == "odd")
    case "upper", "lower":
      let text = try text(of: value, line)
      return text.contains(where: \.properties.isCased)
        && text.allSatisfy {
          name == "upper"
            ? !$0.properties.isLowercase && $0.properties.generalCategory != .titlecaseLetter
            : !$0.properties.isUppercase && $0.properties.generalCategory != .titlecaseLetter
        }
    default: return nil
    }
  }
}
