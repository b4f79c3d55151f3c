import TinctureCore

/// A format tensors are stored in: ggml's block formats and its plain float types.
///
/// A value that knows everything about itself: identity, block geometry, encoder and decoder. Code that needs
/// "all formats" iterates ``all``; code that only has to walk past a tensor uses ``known``.
public struct BlockFormat: Sendable, Hashable, CustomStringConvertible {
  /// ggml's type number, as stored in GGUF.
  public let id: UInt32
  /// ggml's name, upper case: `Q4_K`, `F16`.
  public let name: String
  /// Elements encoded together; 1 for plain floats and integers.
  public let elementsPerBlock: Int
  /// Bytes of one block.
  public let bytesPerBlock: Int
  /// Whether several elements share a scale.
  public let isQuantized: Bool
  /// How values are turned into bytes and back.
  let coding: Coding
  /// Type number of ``fallback``.
  let fallbackID: UInt32?

  init(
    id: UInt32, _ name: String, elements: Int, bytes: Int, quantized: Bool = true,
    fallback: UInt32? = nil, coding: Coding = .none
  ) {
    self.id = id
    self.name = name
    self.elementsPerBlock = elements
    self.bytesPerBlock = bytes
    self.isQuantized = quantized
    self.coding = coding
    self.fallbackID = fallback
  }

  public static func == (a: BlockFormat, b: BlockFormat) -> Bool { a.id == b.id }
  public func hash(into hasher: inout Hasher) { hasher.combine(id) }

  /// ``name``.
  public var description: String { name }

  /// The formats that can be encoded and decoded.
  public static let all: [BlockFormat] = [
    f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_K, q3_K, q4_K, q5_K, q6_K, iq4_NL, iq4_XS,
  ]

  /// Every ggml type in use, by type number; those outside ``all`` are known by name and size only.
  public static let known: [BlockFormat] = (all + sizedOnly).sorted { $0.id < $1.id }

  private static let byID: [UInt32: BlockFormat] = {
    var table: [UInt32: BlockFormat] = [:]
    for format in known { table[format.id] = format }
    return table
  }()

  private static let byName: [String: BlockFormat] = {
    var table: [String: BlockFormat] = [:]
    for format in known { table[format.name.uppercased()] = format }
    return table
  }()

  /// The format of that name, upper or lower case; nil when ggml has none.
  public static func named(_ name: String) -> BlockFormat? { byName[name.uppercased()] }

  /// The format with ggml's type number `id`; nil when there is none, or ggml removed it (see ``removedName(id:)``).
  public static func with(id: UInt32) -> BlockFormat? { byID[id] }

  /// Whether ``encode(_:rowCount:rowLength:importance:into:)`` and ``decode(_:rowCount:rowLength:into:)`` work.
  public var canEncode: Bool {
    if case .none = coding { return false }
    return true
  }

  /// The format llama-quantize takes when a row's length is not a multiple of the block's; nil when it has none and
  /// takes F16 (llama.cpp src/llama-quant.cpp: tensor_type_fallback).
  public var fallback: BlockFormat? { fallbackID.flatMap { Self.with(id: $0) } }

  /// The format that rows of `length` elements really get when this one is asked for: itself, its ``fallback``, or F16.
  public func usable(rowLength length: Int) -> BlockFormat {
    if rowByteCount(length) != nil { return self }
    if let fallback, fallback.rowByteCount(length) != nil { return fallback }
    return .f16
  }

  /// Bytes of a row of `length` elements; nil when `length` is negative, no whole number of blocks, or too large.
  public func rowByteCount(_ length: Int) -> Int? {
    guard length >= 0, length % elementsPerBlock == 0 else { return nil }
    let (bytes, overflow) = (length / elementsPerBlock).multipliedReportingOverflow(
      by: bytesPerBlock)
    return overflow ? nil : bytes
  }

  /// Average bits an element takes.
  public var bitsPerElement: Double { Double(bytesPerBlock * 8) / Double(elementsPerBlock) }
}
