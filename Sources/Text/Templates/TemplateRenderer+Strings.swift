import TinctureCore

/// The methods of strings, as Python has them.
extension TemplateRenderer {
  mutating func call(
    method name: String, of text: TemplateText, _ arguments: TemplateValues, _ line: Int
  ) throws(TinctureError) -> TemplateValue {
    try spend(text.count / 4, line)
    switch name {
    case "strip", "lstrip", "rstrip":
      let bound = try bind(arguments, ["chars"], name, line)
      return .string(
        try strip(
          text, bound[0] ?? .none, start: name != "rstrip", end: name != "lstrip", name, line))
    case "upper", "lower", "title", "capitalize":
      _ = try bind(arguments, [], name, line)
      return .string(try cased(text, name, line))
    case "startswith", "endswith":
      let bound = try bind(arguments, ["text"], name, line)
      let parts: [TemplateValue] =
        if case .sequence(.tuple, let items)? = bound[0] { items.values } else {
          [bound[0] ?? .none]
        }
      for part in parts {
        let part = try string(part, name, line)
        if name == "startswith"
          ? text.starts(with: part) : text.reversed().starts(with: part.reversed())
        {
          return .bool(true)
        }
      }
      return .bool(false)
    case "removeprefix", "removesuffix":
      let bound = try bind(arguments, ["text"], name, line)
      let part = try string(bound[0], name, line)
      guard part.count <= text.count else { return .string(text) }
      if name == "removeprefix" {
        return .string(text.starts(with: part) ? Array(text[part.count...]) : text)
      }
      let rest = text.count - part.count
      return .string(Array(text[rest...]) == part ? Array(text[..<rest]) : text)
    case "replace":
      let bound = try bind(arguments, ["old", "new", "count"], name, line)
      let old = try string(bound[0], name, line)
      let new = try string(bound[1], name, line)
      return .string(
        try replaced(text, old, new, limit: count(bound[2], name, line), line))
    case "split", "rsplit":
      let bound = try TemplateBinding(arguments, to: ["sep", "maxsplit"], of: name, line)
      let limit = try count(bound[1], name, line)
      return .list(
        try split(text, bound[0] ?? .none, limit, fromEnd: name == "rsplit", line))
    case "splitlines":
      _ = try bind(arguments, [], name, line)
      return .list(try lines(text, line).map { .string($0) })
    case "find", "count":
      let bound = try bind(arguments, ["text"], name, line)
      let part = try string(bound[0], name, line)
      if name == "find" { return .int(try find(part, in: text, from: 0, line) ?? -1) }
      return .int(try occurrences(of: part, in: text, limit: .max, line).count)
    case "join":
      let bound = try bind(arguments, ["items"], name, line)
      var result: TemplateText = []
      for (index, item) in try items(of: bound[0] ?? .none, line).enumerated() {
        let part = try string(item, name, line)
        try spend(part.count + text.count, line)
        if index > 0 { result += text }
        result += part
      }
      return .string(result)
    case "isspace":
      _ = try bind(arguments, [], name, line)
      return .bool(!text.isEmpty && text.allSatisfy(\.isTemplateSpace))
    default:
      throw TemplateFault.unsupported.at(
        line, "the method '\(name)' of a string is not supported")
    }
  }

  /// Arguments of a method whose parameters have no names in Python.
  private func bind(
    _ arguments: TemplateValues, _ parameters: [String], _ name: String, _ line: Int
  ) throws(TinctureError) -> TemplateBinding {
    guard arguments.named.isEmpty else {
      throw TemplateFault.unsupported.at(line, "named arguments of '\(name)' are not supported")
    }
    return try TemplateBinding(arguments, to: parameters, of: name, line)
  }

  private func string(
    _ value: TemplateValue?, _ name: String, _ line: Int
  ) throws(TinctureError) -> TemplateText {
    guard case .string(let text)? = value else {
      throw TemplateFault.value.at(
        line, "'\(name)' needs a string", found: value?.sort ?? "no argument")
    }
    return text
  }

  private func count(
    _ value: TemplateValue?, _ name: String, _ line: Int
  ) throws(TinctureError) -> Int {
    guard let value else { return .max }
    guard let number = value.integer else {
      throw TemplateFault.value.at(line, "'\(name)' needs a whole number", found: value.sort)
    }
    return number < 0 ? .max : number
  }

  /// The text without the given characters, or without whitespace, at its ends.
  mutating func strip(
    _ text: TemplateText, _ characters: TemplateValue, start: Bool, end: Bool, _ name: String,
    _ line: Int
  ) throws(TinctureError) -> TemplateText {
    var isStripped: (Unicode.Scalar) -> Bool = \.isTemplateSpace
    if !characters.isNone {
      let set = Set(try string(characters, name, line))
      isStripped = { set.contains($0) }
    }
    var range = text.startIndex..<text.endIndex
    if start {
      let first = text.firstIndex { !isStripped($0) } ?? text.endIndex
      range = first..<text.endIndex
    }
    if end {
      var last = range.upperBound
      while last > range.lowerBound, isStripped(text[last - 1]) { last -= 1 }
      range = range.lowerBound..<last
    }
    try spend(range.count, line)
    return Array(text[range])
  }

  // MARK: Case

  mutating func cased(
    _ text: TemplateText, _ name: String, _ line: Int
  ) throws(TinctureError) -> TemplateText {
    var result: TemplateText = []
    result.reserveCapacity(text.count)
    var followsCased = false
    for (index, scalar) in text.enumerated() {
      let upper =
        switch name {
        case "upper": true
        case "lower": false
        case "title": !followsCased
        default: index == 0
        }
      followsCased = scalar.properties.isCased
      if scalar.isASCII {
        let isLetter = (scalar.value | 0x20) &- 0x61 < 26
        let value = upper ? scalar.value & ~0x20 : scalar.value | 0x20
        result.append(isLetter ? Unicode.Scalar(value) ?? scalar : scalar)
      } else if !upper {
        result +=
          scalar == "\u{3A3}"
          ? [TemplateRenderer.lowerSigma(text, index)]
          : Array(scalar.properties.lowercaseMapping.unicodeScalars)
      } else if name == "upper" {
        result += scalar.properties.uppercaseMapping.unicodeScalars
      } else {
        result += scalar.properties.titlecaseMapping.unicodeScalars
      }
    }
    try spend(result.count * 2, line)
    return result
  }

  /// The small sigma for the capital one at `index`: another at a word's end.
  private static func lowerSigma(_ text: TemplateText, _ index: Int) -> Unicode.Scalar {
    func isCased(_ others: some Sequence<Unicode.Scalar>) -> Bool {
      others.first { !$0.properties.isCaseIgnorable }?.properties.isCased ?? false
    }
    return isCased(text[..<index].reversed()) && !isCased(text[(index + 1)...])
      ? "\u{3C2}" : "\u{3C3}"
  }

  // MARK: Pieces

  /// Where `part` stands in `text`, without overlap, at most `limit` times.
  private mutating func occurrences(
    of part: TemplateText, in text: TemplateText, limit: Int, _ line: Int
  ) throws(TinctureError) -> [Int] {
    var places: [Int] = []
    var start = 0
    while places.count < limit, start <= text.count,
      let place = try find(part, in: text, from: start, line)
    {
      try spend(4, line)
      places.append(place)
      start = place + max(1, part.count)
    }
    return places
  }

  mutating func replaced(
    _ text: TemplateText, _ old: TemplateText, _ new: TemplateText, limit: Int, _ line: Int
  ) throws(TinctureError) -> TemplateText {
    var result: TemplateText = []
    var start = 0
    for place in try occurrences(of: old, in: text, limit: limit, line) {
      try spend(place - start + new.count, line)
      result += text[start..<place]
      result += new
      start = place + old.count
    }
    try spend(text.count - start, line)
    result += text[start...]
    return result
  }

  private mutating func split(
    _ text: TemplateText, _ separator: TemplateValue, _ limit: Int, fromEnd: Bool, _ line: Int
  ) throws(TinctureError) -> [TemplateValue] {
    try spend(text.count, line)
    // From the end: the same on the reversed text.
    let text = fromEnd ? text.reversed() : text
    var pieces: [TemplateText] = []
    if separator.isNone {
      var index = 0
      while true {
        while index < text.count, text[index].isTemplateSpace { index += 1 }
        if index == text.count { break }
        var end = index
        if pieces.count < limit {
          while end < text.count, !text[end].isTemplateSpace { end += 1 }
        } else {
          end = text.count
        }
        try spendItems(4, line)
        pieces.append(Array(text[index..<end]))
        if pieces.count > limit { break }
        index = end
      }
    } else {
      let part = try string(separator, "split", line)
      guard !part.isEmpty else { throw TemplateFault.value.at(line, "an empty separator") }
      var start = 0
      for place in try occurrences(
        of: fromEnd ? part.reversed() : part, in: text, limit: limit, line)
      {
        try spendItems(4, line)
        pieces.append(Array(text[start..<place]))
        start = place + part.count
      }
      pieces.append(Array(text[start...]))
    }
    if fromEnd { pieces = pieces.reversed().map { $0.reversed() } }
    return pieces.map { .string($0) }
  }

  /// The lines without their ends, as Python's `splitlines` finds them.
  mutating func lines(
    _ text: TemplateText, _ line: Int
  ) throws(TinctureError) -> [TemplateText] {
    var result: [TemplateText] = []
    var start = 0
    var index = 0
    while index < text.count {
      var end = index + 1
      switch text[index].value {
      case 0x0D:
        if end < text.count, text[end] == "\n" { end += 1 }
      case 0x0A...0x0C, 0x1C...0x1E, 0x85, 0x2028, 0x2029: break
      default:
        index = end
        continue
      }
      try spendItems(4, line)
      result.append(Array(text[start..<index]))
      start = end
      index = end
    }
    if start < text.count { result.append(Array(text[start...])) }
    try spend(text.count, line)
    return result
  }
}
