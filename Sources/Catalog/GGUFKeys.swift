import TinctureContainers
import TinctureCore

/// Typed look-ups in a GGUF file's metadata, as strict as llama.cpp's: it refuses to load a file in which a key that
/// it reads has another type (`src/llama-model-loader.cpp`, GGUFMeta::GKV). What llama.cpp makes of odd files stands in
/// `golden/gguf/answers.json`; some that it loads are refused here, because it computes another model than the file's
/// maker can have meant.
struct GGUFKeys {
  let file: GGUFFile

  init(_ file: GGUFFile) { self.file = file }

  func string(_ key: String) throws(TinctureError) -> String {
    guard let text = try optionalString(key) else { throw missing(key, "a string") }
    return text
  }

  func optionalString(_ key: String) throws(TinctureError) -> String? {
    switch file.value(key) {
    case nil: return nil
    case .string(let text): return text.text
    default: throw mistyped(key, "a string")
    }
  }

  func optionalFlag(_ key: String) throws(TinctureError) -> Bool? {
    switch file.value(key) {
    case nil: return nil
    case .bool(let flag): return flag
    default: throw mistyped(key, "true or false")
    }
  }

  func optionalInteger(_ key: String) throws(TinctureError) -> Int? {
    switch file.value(key) {
    case nil: return nil
    case .uint32(let number): return Int(number)
    default: throw mistyped(key, "a uint32")
    }
  }

  /// A finite number.
  func optionalNumber(_ key: String) throws(TinctureError) -> Double? {
    switch file.value(key) {
    case nil: return nil
    case .float32(let number) where number.isFinite: return Double(number)
    case .float32: throw failure(key, "the number is not finite", expected: "a finite float32")
    default: throw mistyped(key, "a float32")
    }
  }

  /// A number for all layers, or one for each that are all the same: the graphs of these architectures compute every
  /// layer alike.
  func optionalLayered(_ key: String, layers: Int) throws(TinctureError) -> Int? {
    let numbers: [Int]
    switch file.value(key) {
    case .array(.uint32(let list)): numbers = list.map(Int.init)
    case .array(.int32(let list)): numbers = list.map(Int.init)
    case .array: throw mistyped(key, "a uint32, or one for each layer")
    default: return try optionalInteger(key)
    }
    guard numbers.count == layers, let first = numbers.first, Set(numbers).count == 1 else {
      throw failure(
        key, "the list does not give every layer the same number",
        expected: "one uint32, or \(layers) that are all the same")
    }
    return first
  }

  func missing(_ key: String, _ expected: String) -> TinctureError {
    failure(key, "the key is missing", expected: expected)
  }

  private func mistyped(_ key: String, _ expected: String) -> TinctureError {
    failure(key, "the key has another type", expected: expected)
  }

  func failure(
    _ key: String, _ message: String, expected: String, found: String? = nil,
    advice: String? = nil
  ) -> TinctureError {
    TinctureError(
      .init("gguf.metadata", .invalidInput), message, place: .init(file: file.path, key: key),
      expected: expected, found: found ?? self.found(key),
      advice: advice ?? "convert the model from its checkpoint again")
  }

  /// The value for an error: type and number, or type and length.
  private func found(_ key: String) -> String {
    file.value(key)?.summary ?? "nothing"
  }
}
