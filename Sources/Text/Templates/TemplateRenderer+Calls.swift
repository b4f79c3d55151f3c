import TinctureCore

/// The arguments of a call bound to parameter names.
struct TemplateBinding {
  let values: [TemplateValue?]

  /// - Throws: when there are too many, one has no such name, or one stands twice.
  init(
    _ arguments: TemplateValues, to parameters: [String], of callee: String, _ line: Int
  ) throws(TinctureError) {
    var values = [TemplateValue?](repeating: nil, count: parameters.count)
    guard arguments.positional.count <= parameters.count else {
      throw TemplateFault.value.at(
        line, "too many arguments of '\(callee)'", expected: "at most \(parameters.count)",
        found: "\(arguments.positional.count)")
    }
    for (index, value) in arguments.positional.enumerated() { values[index] = value }
    for argument in arguments.named {
      guard let index = parameters.firstIndex(of: argument.name), values[index] == nil else {
        throw TemplateFault.value.at(
          line, "'\(callee)' has no such argument, or it stands twice",
          expected: parameters.isEmpty ? "none" : parameters.joined(separator: ", "),
          found: argument.name)
      }
      values[index] = argument.value
    }
    self.values = values
  }

  subscript(index: Int) -> TemplateValue? { values[index] }
}

extension TemplateRenderer {
  mutating func call(
    _ callee: TemplateExpression, _ arguments: TemplateArguments, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    if case .attribute(let operand, let name) = callee.kind {
      let value = try evaluate(operand)
      switch value {
      case .string(let text) where TemplateNames.stringMethods.contains(name):
        return try call(method: name, of: text, evaluate(arguments), line)
      case .dict(let dict) where TemplateNames.dictMethods.contains(name):
        return try call(method: name, of: dict, evaluate(arguments), line)
      default:
        let function = try attribute(name, of: value, line)
        return try call(function, named: name, evaluate(arguments), line)
      }
    }
    let function = try evaluate(callee)
    var name = "this value"
    if case .name(let text) = callee.kind { name = text }
    return try call(function, named: name, evaluate(arguments), line)
  }

  private mutating func call(
    _ function: TemplateValue, named name: String, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    switch function {
    case .macro(let closure): return try call(closure, arguments, line)
    case .function(let name): return try call(function: name, arguments, line)
    case .undefined: throw undefined(function, line)
    default:
      throw TemplateFault.value.at(
        line, "'\(name)' cannot be called", found: function.sort)
    }
  }

  private mutating func call(
    _ closure: TemplateClosure, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    try enter(line)
    defer { depth -= 1 }
    let macro = closure.macro
    let bound = try TemplateBinding(
      arguments, to: macro.parameters.map(\.name), of: macro.name, line)
    let inner = TemplateScope(parent: closure.scope)
    for (index, parameter) in macro.parameters.enumerated() {
      if let value = bound[index] {
        inner.values[parameter.name] = value
      } else if let standard = parameter.value {
        let value = try inScope(inner) { (renderer) throws(TinctureError) -> TemplateValue in
          try renderer.evaluate(standard)
        }
        inner.values[parameter.name] = value
      } else {
        inner.values[parameter.name] = .undefined("'\(parameter.name)'")
      }
    }
    return .string(try captured(line, in: inner, macro.body))
  }

  private mutating func call(
    function name: String, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    switch name {
    case "range": return try range(arguments, line)
    case "raise_exception":
      let bound = try TemplateBinding(arguments, to: ["message"], of: name, line)
      let message = try text(of: bound[0] ?? .text("no reason is given"), line)
      throw TemplateFault.raised.at(
        line, "the chat template refuses this conversation", found: message.string)
    case "strftime_now":
      let bound = try TemplateBinding(arguments, to: ["format"], of: name, line)
      guard case .string(let format)? = bound[0] else {
        throw TemplateFault.value.at(line, "strftime_now needs a format", expected: "a string")
      }
      guard let now else {
        throw TemplateFault.value.at(
          line, "the template asks for the present date, and none was given")
      }
      return .string(try now.text(format, line))
    case "namespace":
      let namespace = TemplateNamespace()
      for (key, value) in try members(arguments, of: name, line).entries {
        guard case .string(let text) = key else {
          throw TemplateFault.value.at(line, "a namespace's key is no string", found: key.sort)
        }
        namespace.values[text.string] = value
      }
      try spendItems(4, line)
      kept.namespaces.append(namespace)
      return .namespace(namespace)
    default: return .dict(try members(arguments, of: name, line))
    }
  }

  /// `dict(mapping, name=value, …)`.
  private mutating func members(
    _ arguments: TemplateValues, of name: String, _ line: Int
  ) throws(TinctureError) -> TemplateDict {
    var dict = TemplateDict()
    if let first = arguments.positional.first {
      guard arguments.positional.count == 1, case .dict(let given) = first else {
        throw TemplateFault.unsupported.at(
          line, "'\(name)' takes a mapping and named values only", found: first.sort)
      }
      dict = given
    }
    try spendItems(2 * (dict.entries.count + arguments.named.count), line)
    for argument in arguments.named {
      try put(argument.value, for: .text(argument.name), in: &dict, line)
    }
    return dict
  }

  private mutating func range(
    _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    let bounds = arguments.positional.map(\.integer)
    guard arguments.named.isEmpty, (1...3).contains(bounds.count), !bounds.contains(nil) else {
      throw TemplateFault.value.at(line, "range takes one to three whole numbers")
    }
    let numbers = bounds.compactMap { $0 }
    let (start, stop) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
    let step = numbers.count == 3 ? numbers[2] : 1
    guard step != 0 else { throw TemplateFault.value.at(line, "a range with step zero") }
    let limit = 1 << 40
    guard [start, stop, step].allSatisfy({ abs($0.clamped(limit + 1)) <= limit }) else {
      throw TemplateFault.limit.at(line, "a range is too long")
    }
    let distance = step > 0 ? stop - start : start - stop
    let count = distance <= 0 ? 0 : (distance - 1) / abs(step) + 1
    // Jinja's sandbox stops here too.
    guard count <= 100_000 else { throw TemplateFault.limit.at(line, "a range is too long") }
    try spendItems(count, line)
    return .make(.range, (0..<count).map { .int(start + $0 * step) })
  }

  // MARK: Methods of mappings

  private mutating func call(
    method name: String, of dict: TemplateDict, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    switch name {
    case "get":
      let bound = try TemplateBinding(arguments, to: ["key", "default"], of: name, line)
      guard let key = bound[0], arguments.named.isEmpty else {
        throw TemplateFault.value.at(line, "'get' needs a key")
      }
      try needKey(key, line)
      if let index = try index(of: key, in: dict, line) { return dict.entries[index].value }
      return bound[1] ?? .none
    case "keys", "values", "items":
      _ = try TemplateBinding(arguments, to: [], of: name, line)
      try spendItems(dict.entries.count * 3, line)
      return .make(
        .view,
        dict.entries.map { entry in
          switch name {
          case "keys": entry.key
          case "values": entry.value
          default: .make(.tuple, [entry.key, entry.value])
          }
        })
    default:
      throw TemplateFault.unsupported.at(
        line, "the method '\(name)' of a mapping is not supported")
    }
  }
}

extension Int {
  /// The number nearest to this one between `-bound` and `bound`.
  fileprivate func clamped(_ bound: Int) -> Int { Swift.min(Swift.max(self, -bound), bound) }
}
