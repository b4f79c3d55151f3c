import Foundation
import TinctureContainers
import TinctureCore

/// A small GGUF model of made-up weights with the tensors of a llama: big enough for several chunks a tensor,
/// the same bytes for the same sizes and seed.
public struct SyntheticModel: Sendable {
  public var vocabulary = 1024
  public var width = 512
  public var feedForward = 1536
  public var layerCount = 1
  public var seed: UInt64 = 1
  /// Metadata that is other than it should be; nil leaves the key out.
  public var changes: [(key: String, value: GGUFValue?)] = []
  /// An element that is set to NaN: tensor name, row, column.
  public var poison: (tensor: String, row: Int, column: Int)?

  public init() {}

  /// Few and narrow tensors, for tests that run a job many times.
  public static var tiny: SyntheticModel {
    var model = SyntheticModel()
    model.vocabulary = 2304
    model.width = 64
    model.feedForward = 128
    return model
  }

  /// Name and shape of every tensor; vectors are F32, matrices BF16.
  public var tensors: [GGUFLayout.Request] {
    func matrix(_ name: String, _ rows: Int, _ columns: Int) -> GGUFLayout.Request {
      GGUFLayout.Request(name: name, type: .element(.bf16), shape: Shape(rows, columns))
    }
    func vector(_ name: String) -> GGUFLayout.Request {
      GGUFLayout.Request(name: name, type: .element(.f32), shape: Shape(width))
    }
    var list = [
      matrix("token_embd.weight", vocabulary, width), vector("output_norm.weight"),
      matrix("output.weight", vocabulary, width),
    ]
    for layer in 0..<layerCount {
      let prefix = "blk.\(layer)."
      list += [
        vector(prefix + "attn_norm.weight"), matrix(prefix + "attn_q.weight", width, width),
        matrix(prefix + "attn_k.weight", width / 2, width),
        matrix(prefix + "attn_v.weight", width / 2, width),
        matrix(prefix + "attn_output.weight", width, width), vector(prefix + "ffn_norm.weight"),
        matrix(prefix + "ffn_gate.weight", feedForward, width),
        matrix(prefix + "ffn_up.weight", feedForward, width),
        matrix(prefix + "ffn_down.weight", width, feedForward),
      ]
    }
    return list
  }

  public var metadata: [(key: String, value: GGUFValue)] {
    let keys = Set(changes.map(\.key))
    return plainMetadata.filter { !keys.contains($0.key) }
      + changes.compactMap { change in change.value.map { (change.key, $0) } }
  }

  private var plainMetadata: [(key: String, value: GGUFValue)] {
    [
      ("general.architecture", .string("llama")), ("general.name", .string("made up")),
      ("llama.block_count", .uint32(UInt32(layerCount))),
      ("llama.context_length", .uint32(512)),
      ("llama.embedding_length", .uint32(UInt32(width))),
      ("llama.feed_forward_length", .uint32(UInt32(feedForward))),
      ("llama.attention.head_count", .uint32(8)), ("llama.attention.head_count_kv", .uint32(4)),
      ("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)),
      ("llama.rope.dimension_count", .uint32(UInt32(width / 8))),
    ]
  }

  /// Writes the model.
  public func write(to path: String) throws {
    let layout = try GGUFLayout(metadata: metadata, tensors: tensors)
    var bytes = layout.header
    bytes.reserveCapacity(Int(layout.byteCount))
    var random = SeededRandom(seed: seed)
    let table = (0..<1 << 14).map { _ in random.normal() }
    for info in layout.tensors {
      bytes += [UInt8](repeating: 0, count: Int(info.byteOffset) - bytes.count)
      let isMatrix = info.type == .element(.bf16)
      let start = Int(truncatingIfNeeded: random.next() & 0xFFFF)
      for index in 0..<info.shape.elementCount {
        let noise = table[(index &* 7919 &+ index >> 9 &+ start) & (table.count - 1)]
        var value = isMatrix ? noise * 0.05 : 1 + noise * 0.1
        if let poison, poison.tensor == info.name,
          index == poison.row * info.shape.rowLength + poison.column
        {
          value = .nan
        }
        let bits = value.bitPattern
        if isMatrix {
          bytes.append(UInt8(truncatingIfNeeded: bits >> 16))
          bytes.append(UInt8(truncatingIfNeeded: bits >> 24))
        } else {
          withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
        }
      }
    }
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }
}
