import TinctureCore

/// The layouts of a split set, cut as llama.cpp's gguf-split cuts with `--split-max-size`.
///
/// A part takes tensors in order while their sizes, each padded to 32 bytes, stay within the limit; a tensor
/// larger than the limit stands alone in a part of its own. The first part holds all metadata, each part
/// `split.no` (uint16), `split.tensors.count` (int32) and `split.count` (uint16), in this order. Parts after
/// the first also repeat a `general.alignment` that is not 32, since each part is read on its own.
/// Source: llama.cpp `tools/gguf-split/gguf-split.cpp`.
public struct GGUFSplitLayout: Sendable {
  /// One layout a part, in order.
  public let parts: [GGUFLayout]
  /// Names of tensors larger than the limit, each alone in its part.
  public let oversized: [String]

  /// Lays out a set whose parts hold at most `partByteLimit` bytes of tensor data each.
  ///
  /// - Throws: `gguf.split.tooSmall` when the first tensor alone passes the limit (gguf-split stops there
  ///   too), `gguf.split.tooMany` above 65,535 parts, and what ``GGUFLayout`` throws.
  public init(
    metadata: [(key: String, value: GGUFValue)], tensors: [GGUFLayout.Request],
    alignment: UInt32? = nil, partByteLimit: UInt64
  ) throws(TinctureError) {
    let whole = try GGUFLayout(metadata: metadata, tensors: tensors, alignment: alignment)
    var groups: [[GGUFLayout.Request]] = [[]]
    var held: UInt64 = 0
    var oversized: [String] = []
    for (tensor, info) in zip(tensors, whole.tensors) {
      let size = (info.byteCount + 31) / 32 * 32
      if size > partByteLimit { oversized.append(tensor.name) }
      if held + size > partByteLimit {
        guard groups.count > 1 || !groups[0].isEmpty else {
          throw TinctureError(
            .init("gguf.split.tooSmall", .usage), "the first tensor alone is larger than a part",
            place: .init(tensor: tensor.name), expected: "at least \(size) bytes a part",
            found: "\(partByteLimit)", advice: "give a larger --split-size")
        }
        groups.append([tensor])
        held = size
      } else {
        groups[groups.count - 1].append(tensor)
        held += size
      }
    }
    guard groups.count <= GGUFSplit.mostParts else {
      throw TinctureError(
        .init("gguf.split.tooMany", .usage), "too many parts",
        expected: "at most \(GGUFSplit.mostParts)", found: "\(groups.count)",
        advice: "give a larger --split-size")
    }
    guard tensors.count <= Int(Int32.max) else {
      throw TinctureError(.init("gguf.split.tooMany", .unsupported), "too many tensors")
    }
    var parts: [GGUFLayout] = []
    for (index, group) in groups.enumerated() {
      var pairs = whole.metadata
      if index > 0 {
        pairs = pairs.filter { $0.key == "general.alignment" && whole.alignment != 32 }
      }
      pairs.append((GGUFSplit.numberKey, .uint16(UInt16(index))))
      pairs.append((GGUFSplit.tensorCountKey, .int32(Int32(tensors.count))))
      pairs.append((GGUFSplit.countKey, .uint16(UInt16(groups.count))))
      parts.append(try GGUFLayout(checked: pairs, tensors: group, alignment: nil))
    }
    self.parts = parts
    self.oversized = oversized
  }

  /// The paths of the parts of `path`: `NAME.gguf` gives `NAME-00001-of-0000N.gguf` and so on.
  public func paths(for path: String) -> [String] {
    let prefix = path.hasSuffix(".gguf") ? String(path.dropLast(5)) : path
    return parts.indices.map { GGUFSplit.path(prefix: prefix, index: $0, count: parts.count) }
  }
}
