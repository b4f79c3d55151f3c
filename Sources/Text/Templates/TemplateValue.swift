import TinctureCore

/// What an expression gives: Python's values as far as a template can meet them. Lives during one rendering only.
enum TemplateValue {
  /// What is missing, for the error when it is used.
  case undefined(String)
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case string(TemplateText)
  case sequence(SequenceKind, TemplateItems)
  case dict(TemplateDict)
  /// A generator: gives each item once.
  case lazy(TemplateGenerator)
  case namespace(TemplateNamespace)
  case macro(TemplateClosure)
  case loop(TemplateLoopState)
  /// A function of Jinja or transformers, by its name.
  case function(String)

  enum SequenceKind {
    case list, tuple, range
    /// `dict.keys()` and the like, which have no indices.
    case view
  }

  static func list(_ items: [TemplateValue]) -> TemplateValue { make(.list, items) }
  static func make(_ kind: SequenceKind, _ items: [TemplateValue]) -> TemplateValue {
    .sequence(kind, TemplateItems(items))
  }
  static func text(_ text: String) -> TemplateValue { .string(TemplateText(text)) }

  /// The sort of value, for messages.
  var sort: String {
    switch self {
    case .undefined(let what): "\(what), which is undefined"
    case .none: "none"
    case .bool: "a boolean"
    case .int, .float: "a number"
    case .string: "a string"
    case .sequence(.list, _): "a list"
    case .sequence(.tuple, _): "a tuple"
    case .sequence(.range, _): "a range"
    case .sequence(.view, _): "a view of a mapping"
    case .dict: "a mapping"
    case .lazy: "a generator"
    case .namespace: "a namespace"
    case .macro: "a macro"
    case .loop: "the loop variable"
    case .function: "a function"
    }
  }

  var isUndefined: Bool { if case .undefined = self { true } else { false } }
  var isNone: Bool { if case .none = self { true } else { false } }

  /// Python's truth value.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .float(let value): value != 0
    case .string(let text): !text.isEmpty
    case .sequence(_, let items): !items.values.isEmpty
    case .dict(let dict): !dict.entries.isEmpty
    case .lazy, .namespace, .macro, .loop, .function: true
    }
  }

  /// Whether Python takes it for a mapping's key. Its depth is bounded.
  var isHashable: Bool {
    switch self {
    case .dict, .sequence(.list, _), .sequence(.view, _): false
    case .sequence(.tuple, let items): items.values.allSatisfy(\.isHashable)
    default: true
    }
  }

  /// How many levels of lists and mappings the value holds.
  var depth: Int {
    switch self {
    case .sequence(_, let items): items.depth
    case .dict(let dict): dict.depth
    case .lazy(let generator): generator.depth
    default: 0
    }
  }

  /// The number a boolean or integer is.
  var integer: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): value
    default: nil
    }
  }

  var number: Double? {
    if case .float(let value) = self { return value }
    return integer.map(Double.init)
  }
}

/// The items of a list with their depth, which is bounded: values are left by recursion.
struct TemplateItems {
  let values: [TemplateValue]
  let depth: Int

  init(_ values: [TemplateValue]) {
    self.values = values
    depth = 1 + (values.lazy.map(\.depth).max() ?? 0)
  }
}

/// A mapping that keeps its order; keys are found by comparing, since a conversation's mappings are small.
struct TemplateDict {
  private(set) var entries: [(key: TemplateValue, value: TemplateValue)] = []
  private(set) var depth = 1

  init() {}

  init(_ members: [(String, TemplateValue)]) {
    for member in members { append(member.1, for: .text(member.0)) }
  }

  mutating func append(_ value: TemplateValue, for key: TemplateValue) {
    entries.append((key, value))
    depth = max(depth, value.depth + 1)
  }

  mutating func set(_ value: TemplateValue, at index: Int) {
    entries[index].value = value
    depth = max(depth, value.depth + 1)
  }
}

final class TemplateGenerator {
  let items: [TemplateValue]
  let depth: Int
  var position = 0

  init(_ items: [TemplateValue]) {
    self.items = items
    depth = TemplateItems(items).depth
  }

  /// All items that were not taken yet.
  func rest() -> [TemplateValue] {
    defer { position = items.count }
    return Array(items[position...])
  }
}

final class TemplateNamespace {
  var values: [String: TemplateValue] = [:]
}

/// What can hold itself in a ring; emptied when the rendering ends, so that nothing outlives it.
final class TemplateKeep {
  var namespaces: [TemplateNamespace] = []
  var scopes: [TemplateScope] = []

  func empty() {
    for namespace in namespaces { namespace.values = [:] }
    for scope in scopes { scope.values = [:] }
  }
}

final class TemplateLoopState {
  let items: [TemplateValue]
  var index = 0

  init(items: [TemplateValue]) { self.items = items }
}

/// A macro with the scope it was defined in.
final class TemplateClosure {
  let macro: TemplateMacro
  let scope: TemplateScope

  init(macro: TemplateMacro, scope: TemplateScope) {
    self.macro = macro
    self.scope = scope
  }
}

/// Names and their values; an inner scope hides those outside and never changes them.
final class TemplateScope {
  let parent: TemplateScope?
  var values: [String: TemplateValue] = [:]
  /// Whether the scope belongs to a macro's call.
  let isMacro: Bool

  init(parent: TemplateScope?, isMacro: Bool = false) {
    self.parent = parent
    self.isMacro = isMacro
  }

  func value(_ name: String) -> TemplateValue? {
    var scope: TemplateScope? = self
    while let present = scope {
      if let value = present.values[name] { return value }
      scope = present.parent
    }
    return nil
  }
}
