import TinctureBlocks
import TinctureCore

/// GGUF's type numbers for scalars, and back. Source: llama.cpp `ggml/include/ggml.h`.
extension StoredType {
  private static let scalars: [(id: UInt32, type: ElementType)] = [
    (0, .f32), (1, .f16), (24, .i8), (25, .i16), (26, .i32), (27, .i64), (28, .f64), (30, .bf16),
  ]

  /// The type with ggml's number `id`; nil for numbers that ggml does not have (or has no longer).
  public init?(ggmlID id: UInt32) {
    if let scalar = StoredType.scalars.first(where: { $0.id == id }) {
      self = .element(scalar.type)
    } else if let format = BlockFormat.with(id: id) {
      self = .block(format)
    } else {
      return nil
    }
  }

  /// The type a tensor in `format` has: F32, F16 and BF16 are scalars.
  public init(_ format: BlockFormat) {
    self = StoredType(ggmlID: format.id) ?? .block(format)
  }

  /// ggml's number, nil for scalars that GGUF does not know (unsigned integers, 8-bit floats).
  public var ggmlID: UInt32? {
    switch self {
    case .element(let type): StoredType.scalars.first { $0.type == type }?.id
    case .block(let format): format.id
    }
  }

  /// What a row's length must be, in words.
  package var rowRule: String {
    switch self {
    case .element: "a row that fits into memory"
    case .block(let format): "rows of a multiple of \(format.elementsPerBlock) elements"
    }
  }
}
