import TinctureCore

/// A number of a model that tensors, metadata or rules depend on.
package enum Hyperparameter: String, Sendable, CaseIterable {
  case layers, width, feedForward, heads, keyValueHeads, headSize, contextLength, vocabulary
  case tokenTypes
  /// Of a classifier, which only GGUF files have.
  case classes
  case normEpsilon, finalSoftCap, attentionSoftCap
  case tied, attentionBias, feedForwardBias

  package enum Kind: Sendable { case integer, number, bool }

  package var kind: Kind {
    switch self {
    case .layers, .width, .feedForward, .heads, .keyValueHeads, .headSize, .contextLength,
      .vocabulary, .tokenTypes, .classes:
      .integer
    case .normEpsilon, .finalSoftCap, .attentionSoftCap: .number
    case .tied, .attentionBias, .feedForwardBias: .bool
    }
  }
}

/// What an architecture file says about one field of config.json.
package struct ConfigField: Sendable {
  /// A value a field may have, compared by type and value.
  package enum Literal: Sendable, Equatable, CustomStringConvertible {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)

    package var description: String {
      switch self {
      case .null: "null"
      case .bool(let value): String(value)
      case .number(let value): Int64(exactly: value).map { String($0) } ?? String(value)
      case .string(let value): "\"\(value)\""
      }
    }
  }

  /// What stands in when the field is absent.
  package enum Fallback: Sendable, Equatable {
    case literal(Literal)
    /// As many key-value heads as heads.
    case heads
    /// Width divided by heads.
    case widthPerHead
  }

  package enum Meaning: Sendable {
    /// The field is this hyperparameter, between `minimum` and `maximum`.
    case hyperparameter(Hyperparameter, minimum: Double, maximum: Double)
    /// llama.cpp computes as if the field had one of these values; anything else is an error that says
    /// `engine`.
    case fixed([Literal], engine: String)
    /// Does not change what is computed; the text says why.
    case harmless(String)
  }

  package var key: String
  package var meaning: Meaning
  package var fallback: Fallback?
  /// Where the fallback comes from; required with one.
  package var because: String?
  package var isOptional: Bool
  package var isRequired: Bool
  /// Told in the report whenever the field is there.
  package var note: String?
}

/// The numbers of one checkpoint; immutable once read.
package struct Hyperparameters: Sendable {
  private var integers: [Hyperparameter: Int] = [:]
  private var numbers: [Hyperparameter: Double] = [:]
  private var bools: [Hyperparameter: Bool] = [:]

  package init() {}

  package mutating func set(_ name: Hyperparameter, integer: Int) { integers[name] = integer }
  package mutating func set(_ name: Hyperparameter, number: Double) { numbers[name] = number }
  package mutating func set(_ name: Hyperparameter, bool: Bool) { bools[name] = bool }

  package func integer(_ name: Hyperparameter) -> Int? { integers[name] }
  package func number(_ name: Hyperparameter) -> Double? { numbers[name] }
  package func flag(_ name: Hyperparameter) -> Bool { bools[name] ?? false }

  /// The integer, or an error that names it (an architecture file that forgot to read it).
  package func require(_ name: Hyperparameter) throws(TinctureError) -> Int {
    guard let value = integers[name] else {
      throw TinctureError(
        .init("architecture.hyperparameter", .internalError),
        "the architecture file reads no \"\(name.rawValue)\"")
    }
    return value
  }

  /// A dimension's size; nil when a hyperparameter is missing or the product overflows.
  package func size(_ dimension: Dimension) -> Int? {
    switch dimension {
    case .vocabulary: integers[.vocabulary]
    case .width: integers[.width]
    case .feedForward: integers[.feedForward]
    case .headSize: integers[.headSize]
    case .contextLength: integers[.contextLength]
    case .tokenTypes: integers[.tokenTypes]
    case .queryRows: product(.heads, .headSize)
    case .keyValueRows: product(.keyValueHeads, .headSize)
    case .queryKeyValueRows: sum(product(.heads, .headSize), product(.keyValueHeads, .headSize))
    case .rotaryPairs: integers[.headSize].map { $0 / 2 }
    case .classes: integers[.classes]
    case .any: nil
    }
  }

  /// Query rows, and key and value rows.
  private func sum(_ query: Int?, _ keyValue: Int?) -> Int? {
    guard let query, let keyValue else { return nil }
    let (both, overflow) = keyValue.multipliedReportingOverflow(by: 2)
    let (all, carry) = query.addingReportingOverflow(both)
    return overflow || carry ? nil : all
  }

  private func product(_ a: Hyperparameter, _ b: Hyperparameter) -> Int? {
    guard let x = integers[a], let y = integers[b] else { return nil }
    let (value, overflow) = x.multipliedReportingOverflow(by: y)
    return overflow ? nil : value
  }
}
