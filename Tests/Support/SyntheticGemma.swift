import Foundation
import TinctureContainers
import TinctureCore

/// A small Gemma 3 of made-up BF16 weights, wide enough for super-blocks of 256: what quantization and damage do to it is
/// like what they do to a real one. Layers 5 and 11 see everything, the others a window.
public struct SyntheticGemma {
  public static let vocabulary = 1024
  public static let width = 256
  public static let feedForward = 512
  public static let layerCount = 12
  public static let window = 24

  public init() {}

  private struct Part {
    let name: String
    let shape: Shape
    /// Mean and deviation of its elements.
    let mean: Float
    let deviation: Float
  }

  private var parts: [Part] {
    let width = Self.width
    func matrix(_ name: String, _ rows: Int, _ columns: Int) -> Part {
      Part(
        name: name, shape: Shape(rows, columns), mean: 0,
        deviation: 1 / Float(columns).squareRoot())
    }
    func norm(_ name: String, _ count: Int, _ mean: Float) -> Part {
      Part(name: name, shape: Shape(count), mean: mean, deviation: mean / 5)
    }
    var list = [
      matrix("token_embd.weight", Self.vocabulary, width), norm("output_norm.weight", width, 1.5),
    ]
    for layer in 0..<Self.layerCount {
      let prefix = "blk.\(layer)."
      list += [
        norm(prefix + "attn_norm.weight", width, 1.5),
        matrix(prefix + "attn_q.weight", width, width),
        matrix(prefix + "attn_k.weight", 64, width), matrix(prefix + "attn_v.weight", 64, width),
        norm(prefix + "attn_q_norm.weight", 64, 1.5), norm(prefix + "attn_k_norm.weight", 64, 1.5),
        matrix(prefix + "attn_output.weight", width, width),
        norm(prefix + "post_attention_norm.weight", width, 0.2),
        norm(prefix + "ffn_norm.weight", width, 1.2),
        matrix(prefix + "ffn_gate.weight", Self.feedForward, width),
        matrix(prefix + "ffn_up.weight", Self.feedForward, width),
        matrix(prefix + "ffn_down.weight", width, Self.feedForward),
        norm(prefix + "post_ffw_norm.weight", width, 0.2),
      ]
    }
    return list
  }

  private var metadata: [(key: String, value: GGUFValue)] {
    [
      ("general.architecture", .string("gemma3")), ("general.name", .string("made up")),
      ("general.file_type", .uint32(32)),
      ("gemma3.block_count", .uint32(UInt32(Self.layerCount))),
      ("gemma3.context_length", .uint32(512)),
      ("gemma3.embedding_length", .uint32(UInt32(Self.width))),
      ("gemma3.feed_forward_length", .uint32(UInt32(Self.feedForward))),
      ("gemma3.attention.head_count", .uint32(4)),
      ("gemma3.attention.head_count_kv", .uint32(1)),
      ("gemma3.attention.key_length", .uint32(64)),
      ("gemma3.attention.value_length", .uint32(64)),
      ("gemma3.attention.layer_norm_rms_epsilon", .float32(1e-6)),
      ("gemma3.attention.sliding_window", .uint32(UInt32(Self.window))),
      ("gemma3.rope.freq_base", .float32(1_000_000)),
    ]
  }

  /// Writes the model.
  public func write(to path: String) throws {
    let requests = parts.map {
      GGUFLayout.Request(
        name: $0.name, type: .element($0.shape.rank > 1 ? .bf16 : .f32), shape: $0.shape)
    }
    let layout = try GGUFLayout(metadata: metadata, tensors: requests)
    var bytes = layout.header
    bytes.reserveCapacity(Int(layout.byteCount))
    var random = SeededRandom(seed: 11)
    for (part, tensor) in zip(parts, layout.tensors) {
      bytes += [UInt8](repeating: 0, count: Int(tensor.byteOffset) - bytes.count)
      for _ in 0..<part.shape.elementCount {
        let bits = (part.mean + part.deviation * random.normal()).bitPattern
        let kept = part.shape.rank > 1 ? 16..<32 : 0..<32
        for shift in stride(from: kept.lowerBound, to: kept.upperBound, by: 8) {
          bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(shift)))
        }
      }
    }
    bytes += [UInt8](repeating: 0, count: Int(layout.byteCount) - bytes.count)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }
}
