import TinctureCore

/// The weights of a checkpoint: one safetensors file, or shards with their index.
public struct SafetensorsCheckpoint: TensorSource {
  /// The folder the weights stand in.
  public let folder: String
  /// Tensors in the order of the files, by offset.
  public let tensors: [TensorInfo]
  /// The shards, sorted by name.
  public let files: [InputFile]
  /// What the index says of the size of all weights; nil without index or statement. A note tells when it is wrong.
  public let declaredByteCount: UInt64?
  /// What stands beside the weights or is said of them and does not change what is read.
  public let notes: [String]

  private static let weights = "model.safetensors"
  private static let index = "model.safetensors.index.json"

  /// Opens a checkpoint folder, a safetensors file or an index.
  ///
  /// A folder must hold `model.safetensors`, or `model.safetensors.index.json` and its shards, or exactly one
  /// other file of either kind.
  /// - Throws: `checkpoint.*`, `safetensors.*`, `index.*`, `file.*`.
  /// - Complexity: linear in the headers' size, in time and memory.
  public static func open(_ path: String) throws(TinctureError) -> SafetensorsCheckpoint {
    if Folder.kind(path) == .folder {
      return try open(path, file: try choice(path))
    }
    let (folder, name) = Folder.split(path)
    guard name.hasSuffix(".safetensors") || name.hasSuffix(".safetensors.index.json") else {
      _ = try InputFile(path: path)
      throw TinctureError(
        .init("checkpoint.kind", .invalidInput), "not a checkpoint", place: .init(file: path),
        expected: "a folder, a .safetensors file or its index", found: name,
        advice: advice(for: name))
    }
    return try open(folder, file: name)
  }

  private static func open(_ folder: String, file name: String) throws(TinctureError)
    -> SafetensorsCheckpoint
  {
    let path = Folder.join(folder, name)
    guard name.hasSuffix(".json") else {
      let file = try InputFile(path: path)
      try refuseShard(folder, name)
      let header = try SafetensorsHeader(file)
      return SafetensorsCheckpoint(
        folder: folder, tensors: header.tensors, files: [file], declaredByteCount: nil,
        notes: try strays(folder, read: [name], by: nil))
    }
    let index = try SafetensorsIndex(
      try InputFile(path: path).contents(limit: SafetensorsIndex.limit), path: path)
    var files: [InputFile] = []
    var headers: [SafetensorsHeader] = []
    for shard in index.shards {
      let shardPath = Folder.join(folder, shard)
      guard Folder.kind(shardPath) != .missing else {
        throw TinctureError(
          .init("index.missingShard", .invalidInput), "a shard that the index names is missing",
          place: .init(file: shardPath), expected: "\(index.shards.count) shards",
          advice: "download \(shard) into the folder")
      }
      let file = try InputFile(path: shardPath)
      files.append(file)
      headers.append(try SafetensorsHeader(file))
    }
    try index.check(headers, files: files)
    var tensors: [TensorInfo] = []
    for (number, header) in headers.enumerated() {
      tensors += header.tensors.map { $0.inFile(number) }
    }
    var notes = try strays(folder, read: index.shards, by: name)
    let byteCount = tensors.reduce(0) { $0 + $1.byteCount }
    if let declared = index.declaredByteCount, declared != byteCount {
      notes.append(
        "\(name) says that the weights take \(declared) bytes; they take \(byteCount), every tensor is there"
      )
    }
    if let odd = index.oddTotalSize {
      notes.append(
        "\(name) has total_size \(odd), which is no number of bytes; the weights take \(byteCount), every tensor is "
          + "there")
    }
    return SafetensorsCheckpoint(
      folder: folder, tensors: tensors, files: files, declaredByteCount: index.declaredByteCount,
      notes: notes)
  }

  /// Refuses one shard of several, which holds a part of the model.
  private static func refuseShard(_ folder: String, _ name: String) throws(TinctureError) {
    for index in try Folder.names(folder) where index.hasSuffix(".safetensors.index.json") {
      let path = Folder.join(folder, index)
      let shards: [String]
      do throws(TinctureError) {
        shards = try SafetensorsIndex(
          InputFile(path: path).contents(limit: SafetensorsIndex.limit), path: path
        ).shards
      } catch {
        // What is wrong with an index that was not asked for does not matter here.
        continue
      }
      guard shards.count > 1, shards.contains(name) else { continue }
      throw TinctureError(
        .init("checkpoint.shard", .invalidInput), "the file is one shard of several",
        place: .init(file: Folder.join(folder, name)),
        expected: "the folder, or \(index), which names \(shards.count) shards", found: name,
        advice: "give \(folder) or \(path) instead")
    }
  }

  /// A note about safetensors files that are not read; adapters have one of their own.
  private static func strays(
    _ folder: String, read: [String], by index: String?
  ) throws(TinctureError) -> [String] {
    let others = try Folder.names(folder).filter {
      $0.hasSuffix(".safetensors") && !$0.hasPrefix("adapter_model.") && !read.contains($0)
    }
    guard !others.isEmpty else { return [] }
    let why =
      index.map { "beside the shards, not named by \($0)" } ?? "beside \(list(read))"
    return ["\(list(others)) \(why): not read"]
  }

  /// The name of the file to read in `folder`.
  private static func choice(_ folder: String) throws(TinctureError) -> String {
    let names = try Folder.names(folder)
    let standard = names.filter { $0 == weights || $0 == index }
    if standard.count == 1 { return standard[0] }
    var candidates = standard
    if candidates.isEmpty {
      candidates = names.filter { $0.hasSuffix(".safetensors.index.json") }
    }
    if candidates.isEmpty {
      candidates = names.filter { $0.hasSuffix(".safetensors") }
    }
    guard let first = candidates.first else { throw nothing(folder, names) }
    if standard.isEmpty, let shard = candidates.first(where: { shardCount($0) != nil }) {
      throw TinctureError(
        .init("checkpoint.noIndex", .invalidInput), "the folder holds shards, but not their index",
        place: .init(file: Folder.join(folder, index)),
        expected: "\(index) and \(shardCount(shard) ?? 0) shards", found: list(candidates),
        advice: "download \(index) into the folder")
    }
    guard candidates.count == 1 else {
      throw TinctureError(
        .init("checkpoint.ambiguous", .invalidInput),
        "the folder holds several candidates for the weights", place: .init(file: folder),
        expected: "\(weights), or \(index) and its shards",
        found: list(candidates), advice: "name the file to read instead of the folder")
    }
    guard !first.hasPrefix("adapter_model.") else {
      throw TinctureError(
        .init("checkpoint.adapter", .unsupported), "the folder holds an adapter, no whole model",
        place: .init(file: Folder.join(folder, first)),
        advice: "merge it into its base model with peft's merge_and_unload, then save that")
    }
    return first
  }

  /// How many shards there are, when the name is that of one of several: `model-00001-of-00004.safetensors`.
  private static func shardCount(_ name: String) -> Int? {
    guard let match = name.firstMatch(of: /-\d+-of-(\d+)\.safetensors$/), let count = Int(match.1),
      count > 1
    else { return nil }
    return count
  }

  private static func nothing(_ folder: String, _ names: [String]) -> TinctureError {
    let others = names.filter { name in
      [".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx"].contains {
        name.hasSuffix($0)
      }
    }
    return TinctureError(
      .init("checkpoint.noWeights", .invalidInput), "the folder holds no safetensors file",
      place: .init(file: folder), expected: "\(weights), or \(index) and its shards",
      found: others.isEmpty ? "\(names.count) files" : list(others),
      advice: others.first.flatMap(advice(for:)) ?? "name the folder of a checkpoint")
  }

  private static func list(_ names: [String]) -> String {
    names.prefix(4).joined(separator: ", ")
      + (names.count > 4 ? " and \(names.count - 4) more" : "")
  }

  private static func advice(for name: String) -> String? {
    if name.hasSuffix(".gguf") { return "a GGUF file is named itself, not by its folder" }
    let pickles = [".bin", ".pt", ".pth", ".ckpt"]
    if pickles.contains(where: { name.hasSuffix($0) }) {
      return "load it with transformers and save it with save_pretrained, which writes safetensors"
    }
    return nil
  }
}
