import TinctureCore

/// `model.safetensors.index.json`: which shard holds which tensor.
package struct SafetensorsIndex: Sendable {
  /// Far above any model's index.
  package static let limit = 100_000_000

  /// Tensor and the index of its shard, in file order.
  package let entries: [(tensor: String, shard: Int)]
  /// File names of the shards, sorted by bytes.
  package let shards: [String]
  /// `metadata.total_size`, where there is one: a statement of whoever made the index, often wrong.
  package let declaredByteCount: UInt64?
  /// `metadata.total_size` as it is written, when it is no number of bytes.
  package let oddTotalSize: String?
  package let path: String

  /// Parses and checks `bytes`: a `weight_map` of plain file names.
  ///
  /// - Throws: `index.*` with the byte offset and the tensor.
  package init(_ bytes: [UInt8], path: String) throws(TinctureError) {
    let root = try JSON.parse(bytes, file: path, code: "index")
    var pairs: [(tensor: String, shard: String)] = []
    var seen: Set<String> = []
    var names: Set<String> = []
    let map = try root.member("weight_map")
    for (key, value) in try map.object() {
      let tensor = try key.string()
      guard seen.insert(tensor).inserted else {
        throw key.error("duplicateKey", "two tensors have names that Unicode holds for equal")
          .at(tensor: tensor)
      }
      let shard = try located(tensor: tensor) { () throws(TinctureError) in
        try SafetensorsIndex.shard(value)
      }
      names.insert(shard)
      pairs.append((tensor, shard))
    }
    guard !pairs.isEmpty else { throw map.error("empty", "the index names no tensor") }
    let size = try root.present("metadata")?.optionalMember("total_size")
    if let size, size.kind == .number, let count = UInt64(exactly: try size.double()) {
      (declaredByteCount, oddTotalSize) = (count, nil)
    } else {
      declaredByteCount = nil
      oddTotalSize = size.flatMap { $0.kind == .null ? nil : $0.shortText }
    }
    shards = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    var numbers: [String: Int] = [:]
    for (number, shard) in shards.enumerated() { numbers[shard] = number }
    var entries: [(tensor: String, shard: Int)] = []
    entries.reserveCapacity(pairs.count)
    for pair in pairs {
      guard let number = numbers[pair.shard] else { preconditionFailure("every shard is numbered") }
      entries.append((pair.tensor, number))
    }
    self.entries = entries
    self.path = path
  }

  private static func shard(_ node: JSON) throws(TinctureError) -> String {
    let name = try node.string()
    let bytes = name.utf8
    guard name.hasSuffix(".safetensors"), bytes.count <= 255, name != ".safetensors",
      !bytes.contains(UInt8(ascii: "/")), !bytes.contains(UInt8(ascii: "\\")),
      !bytes.contains(where: { $0 < 0x20 })
    else {
      throw node.error(
        "shard", "the index points outside its folder or at no safetensors file",
        expected: "a plain name ending in .safetensors", found: String(name.prefix(80)),
        advice: "do not trust this checkpoint; download it from its source")
    }
    return name
  }

  /// Checks that index and shards agree: the same tensors in the same shards, none twice.
  func check(_ headers: [SafetensorsHeader], files: [InputFile]) throws(TinctureError) {
    var homes: [String: Int] = [:]
    homes.reserveCapacity(entries.count)
    for entry in entries { homes[entry.tensor] = entry.shard }
    var found = Set<String>(minimumCapacity: entries.count)
    for (number, header) in headers.enumerated() {
      for tensor in header.tensors {
        guard let home = homes[tensor.name] else {
          throw disagreement(
            "extra", "a shard holds a tensor that the index does not name", tensor.name,
            file: files[number].path, expected: nil, found: nil)
        }
        guard home == number else {
          throw disagreement(
            "wrongShard", "a tensor stands in another shard than the index says", tensor.name,
            file: files[number].path, expected: shards[home], found: shards[number])
        }
        found.insert(tensor.name)
      }
    }
    for entry in entries where !found.contains(entry.tensor) {
      throw disagreement(
        "absent", "the index names a tensor that its shard does not hold", entry.tensor,
        file: files[entry.shard].path, expected: nil, found: nil)
    }
  }

  private func disagreement(
    _ name: String, _ message: String, _ tensor: String, file: String, expected: String?,
    found: String?
  ) -> TinctureError {
    TinctureError(
      .init("index." + name, .invalidInput), message, place: .init(file: file, tensor: tensor),
      expected: expected, found: found,
      advice: "index and shards come from different versions; download both again")
  }
}

extension JSON {
  /// The member `key` of an object, nil when absent. - Throws: `CODE.type` when this is no object.
  fileprivate func optionalMember(_ key: String) throws(TinctureError) -> JSON? {
    _ = try object()
    return self[key]
  }
}
