import TinctureCore

extension TemplateRenderer {
  mutating func apply(
    filter name: String, to value: TemplateValue, arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    func bind(_ parameters: String...) throws(TinctureError) -> TemplateBinding {
      try TemplateBinding(arguments, to: parameters, of: name, line)
    }
    switch name {
    case "default", "d":
      let bound = try bind("default_value", "boolean")
      let wantsTruth = bound[1]?.isTrue ?? false
      return value.isUndefined || wantsTruth && !value.isTrue ? bound[0] ?? .string([]) : value
    case "string":
      _ = try bind()
      return .string(try text(of: value, line))
    case "trim":
      let bound = try bind("chars")
      let text = try text(of: value, line)
      return .string(
        try strip(text, bound[0] ?? .none, start: true, end: true, name, line))
    case "upper", "lower", "capitalize":
      _ = try bind()
      return .string(try cased(text(of: value, line), name, line))
    case "title":
      _ = try bind()
      return .string(try titled(text(of: value, line), line))
    case "replace":
      let bound = try bind("old", "new", "count")
      guard let old = bound[0], let new = bound[1] else {
        throw TemplateFault.value.at(line, "'replace' needs what to replace and with what")
      }
      var limit = Int.max
      if let count = bound[2], !count.isNone {
        guard let number = count.integer else {
          throw TemplateFault.value.at(line, "'replace' needs a whole number", found: count.sort)
        }
        limit = number < 0 ? .max : number
      }
      let text = try text(of: value, line)
      let oldText = try self.text(of: old, line)
      return .string(
        try replaced(text, oldText, self.text(of: new, line), limit: limit, line))
    case "indent":
      let bound = try bind("width", "first", "blank")
      guard case .string(let text) = value else {
        if value.isUndefined { throw undefined(value, line) }
        throw TemplateFault.value.at(line, "'indent' needs a string", found: value.sort)
      }
      return .string(
        try indented(
          text, bound[0] ?? .int(4), first: bound[1]?.isTrue ?? false,
          blank: bound[2]?.isTrue ?? false, line))
    case "length", "count":
      _ = try bind()
      return .int(try length(of: value, line))
    case "first", "last":
      _ = try bind()
      return try end(of: value, isFirst: name == "first", line)
    case "list":
      _ = try bind()
      let items = try items(of: value, line)
      try spendItems(items.count, line)
      return .list(items)
    case "reverse":
      _ = try bind()
      if case .string(let text) = value {
        try spend(text.count, line)
        return .string(text.reversed())
      }
      let items = try items(of: value, line)
      try spendItems(items.count, line)
      if case .lazy = value { return .list(items.reversed()) }
      return .lazy(TemplateGenerator(items.reversed()))
    case "items":
      _ = try bind()
      if value.isUndefined { return .lazy(TemplateGenerator([])) }
      guard case .dict(let dict) = value else {
        throw TemplateFault.value.at(line, "'items' needs a mapping", found: value.sort)
      }
      try spendItems(dict.entries.count * 3, line)
      return .lazy(
        TemplateGenerator(dict.entries.map { .make(.tuple, [$0.key, $0.value]) }))
    case "join": return try joined(value, try bind("d", "attribute"), line)
    case "int", "float", "abs":
      return try number(value, name, arguments, line)
    case "tojson":
      let bound = try bind("ensure_ascii", "indent", "separators", "sort_keys")
      var text: TemplateText = []
      try json(value, style(bound, line), into: &text, line)
      return .string(text)
    case "map": return try mapped(value, arguments, line)
    case "select", "reject", "selectattr", "rejectattr":
      return try selected(value, name, arguments, line)
    case "dictsort": return try sortedItems(value, arguments, line)
    default:
      throw TemplateFault.unsupported.at(line, "the filter '\(name)' is not supported")
    }
  }

  private mutating func titled(
    _ text: TemplateText, _ line: Int
  ) throws(TinctureError) -> TemplateText {
    var result: TemplateText = []
    var word: TemplateText = []
    func isBreak(_ scalar: Unicode.Scalar) -> Bool {
      scalar.isTemplateSpace || ["-", "(", "{", "[", "<"].contains(scalar)
    }
    for index in 0...text.count {
      if index < text.count, !isBreak(text[index]) {
        word.append(text[index])
        continue
      }
      if let first = word.first {
        result += try cased([first], "upper", line)
        result += try cased(Array(word.dropFirst()), "lower", line)
        word = []
      }
      if index < text.count { result.append(text[index]) }
    }
    return result
  }

  private mutating func indented(
    _ text: TemplateText, _ width: TemplateValue, first: Bool, blank: Bool, _ line: Int
  ) throws(TinctureError) -> TemplateText {
    var indent: TemplateText
    if case .string(let given) = width {
      indent = given
    } else if let count = width.integer {
      let count = max(0, count)
      try spend(count, line)
      indent = TemplateText(repeating: " ", count: count)
    } else {
      throw TemplateFault.value.at(line, "'indent' needs a number or a string", found: width.sort)
    }
    var result: TemplateText = first ? indent : []
    for (index, part) in try lines(text + ["\n"], line).enumerated() {
      try spend(part.count + indent.count + 1, line)
      if index > 0 {
        result.append("\n")
        if blank || !part.isEmpty { result += indent }
      }
      result += part
    }
    return result
  }

  mutating func length(of value: TemplateValue, _ line: Int) throws(TinctureError) -> Int {
    switch value {
    case .undefined: return 0
    case .string(let text): return text.count
    case .sequence(_, let items): return items.values.count
    case .dict(let dict): return dict.entries.count
    default: throw TemplateFault.value.at(line, "the value has no length", found: value.sort)
    }
  }

  private mutating func end(
    of value: TemplateValue, isFirst: Bool, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    let missing = TemplateValue.undefined("an item of an empty list")
    switch value {
    case .string(let text):
      let found = isFirst ? text.first : text.last
      return found.map { .string([$0]) } ?? missing
    case .sequence(_, let items):
      return (isFirst ? items.values.first : items.values.last) ?? missing
    case .dict(let dict):
      return (isFirst ? dict.entries.first : dict.entries.last)?.key ?? missing
    case .lazy(let generator) where isFirst:
      guard generator.position < generator.items.count else { return missing }
      generator.position += 1
      return generator.items[generator.position - 1]
    case .undefined: return missing
    default:
      throw TemplateFault.value.at(
        line, "the value has no \(isFirst ? "first" : "last") item", found: value.sort)
    }
  }

  private mutating func joined(
    _ value: TemplateValue, _ bound: TemplateBinding, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    let separator = try text(of: bound[0] ?? .string([]), line)
    var result: TemplateText = []
    for (index, item) in try items(of: value, line).enumerated() {
      var item = item
      if let path = bound[1], !path.isNone { item = try part(path, of: item, line) }
      let text = try text(of: item, line)
      try spend(text.count + separator.count, line)
      if index > 0 { result += separator }
      result += text
    }
    return .string(result)
  }

  /// `a.b.0`: the way into a value that `map`, `join` and `selectattr` take.
  mutating func part(
    _ path: TemplateValue, of value: TemplateValue, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    if path.integer != nil { return try item(path, of: value, line) }
    guard case .string(let text) = path else {
      throw TemplateFault.value.at(line, "the name of an attribute is no string", found: path.sort)
    }
    var value = value
    try spend(text.count, line)
    for name in text.split(separator: ".", omittingEmptySubsequences: false) {
      let isNumber = !name.isEmpty && name.allSatisfy(\.isTemplateDigit)
      let key: TemplateValue =
        isNumber
        ? Int(TemplateText(name).string).map { .int($0) } ?? .string(Array(name))
        : .string(Array(name))
      value = try item(key, of: value, line)
    }
    return value
  }

  private mutating func style(
    _ bound: TemplateBinding, _ line: Int
  ) throws(TinctureError) -> JSONStyle {
    var style = JSONStyle()
    style.asciiOnly = bound[0]?.isTrue ?? false
    style.sortsKeys = bound[3]?.isTrue ?? false
    if let indent = bound[1], !indent.isNone {
      if case .string(let text) = indent {
        style.indent = text
      } else if let count = indent.integer {
        try spend(max(0, count), line)
        style.indent = TemplateText(repeating: " ", count: max(0, count))
      } else {
        throw TemplateFault.value.at(line, "'tojson' needs a number or a string to set in by")
      }
      style.itemSeparator = [","]
    }
    if let separators = bound[2], !separators.isNone {
      guard case .sequence(_, let pair) = separators, pair.values.count == 2,
        case .string(let item) = pair.values[0], case .string(let key) = pair.values[1]
      else { throw TemplateFault.value.at(line, "'tojson' needs two separators") }
      style.itemSeparator = item
      style.keySeparator = key
    }
    return style
  }
}
