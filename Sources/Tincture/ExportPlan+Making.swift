import TinctureBlocks
import TinctureCalibration
import TinctureCatalog
import TinctureContainers
import TinctureCore

extension ExportPlan {
  /// The importance row of each tensor that is quantized and has one.
  static func importance(
    _ model: BoundModel, _ recipe: Recipe, _ choices: [TypeChoice], _ statistics: StatisticsFile?
  ) throws(TinctureError) -> [[Float]?] {
    guard let statistics else { return [[Float]?](repeating: nil, count: choices.count) }
    guard choices.contains(where: \.format.isQuantized) else {
      throw TinctureError(
        .init("importance.unused", .usage),
        "an importance matrix is given, but the recipe \(recipe.name) quantizes no tensor of this model",
        place: .init(file: statistics.path), expected: "a recipe that quantizes, such as q4_k_m",
        found: recipe.name, advice: "choose another recipe, or leave the matrix out")
    }
    var rows: [[Float]?] = []
    for (tensor, choice) in zip(model.tensors, choices) {
      guard choice.format.isQuantized else {
        rows.append(nil)
        continue
      }
      rows.append(
        try statistics.importance(for: tensor.name, rowLength: tensor.shape.rowLength))
    }
    guard rows.contains(where: { $0 != nil }) else {
      throw TinctureError(
        .init("importance.model", .invalidInput),
        "the importance matrix has no row for any tensor that is quantized",
        place: .init(file: statistics.path),
        expected: zip(model.tensors, choices).first { $0.1.format.isQuantized }?.0.name,
        found: statistics.names.first ?? "nothing", advice: "use a matrix made of this model")
    }
    return rows
  }

  /// Rows of the matrix that say nothing, and rows for tensors that are not there.
  private static func importanceNotes(
    _ model: BoundModel, _ entries: [Entry], _ statistics: StatisticsFile
  ) -> [String] {
    func list(_ names: [String]) -> String {
      names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", …" : "")
    }
    var notes: [String] = []
    let empty = entries.filter { entry in
      entry.importance.map { row in row.allSatisfy { $0 == 0 } } ?? false
    }
    if !empty.isEmpty {
      notes.append(
        "the importance matrix holds only zeros for \(empty.count) quantized tensor\(empty.count == 1 ? "" : "s"), "
          + "in which all columns count alike: " + list(empty.map(\.name)))
    }
    let known = Set(model.tensors.map(\.name))
    let foreign = statistics.names.filter { !known.contains($0) }
    if !foreign.isEmpty {
      notes.append(
        "the importance matrix has rows for \(foreign.count) tensor\(foreign.count == 1 ? "" : "s") that the model does not "
          + "have; is it of this model? " + list(foreign))
    }
    return notes
  }

  /// The model's metadata, the keys every output gets, the statistics' keys, and the user's own.
  ///
  /// File type and version as llama-quantize writes them (llama.cpp `src/llama-quant.cpp`), statistics keys
  /// as `tools/quantize/quantize.cpp`; the statistics' file is named without its folder, so that the output
  /// does not depend on where it stood.
  static func metadata(
    _ model: BoundModel, _ recipe: Recipe, _ options: ExportOptions, _ statistics: StatisticsFile?
  ) throws(TinctureError) -> [(key: String, value: GGUFValue)] {
    var pairs = model.metadata.filter { !$0.key.hasPrefix("quantize.imatrix.") }
    func set(_ key: String, _ value: GGUFValue) {
      if let index = pairs.firstIndex(where: { $0.key == key }) {
        pairs[index].value = value
      } else {
        pairs.append((key, value))
      }
    }
    let known = try MetadataTypes.load()
    var tokenCount: Int?
    if case .array(let tokens) = pairs.first(where: { $0.key == "tokenizer.ggml.tokens" })?.value {
      tokenCount = tokens.count
    }
    for override in options.metadata {
      let existing = pairs.first { $0.key == override.key }?.value
      set(
        override.key,
        try override.value(
          existing: existing, architecture: model.architecture, known: known,
          tokenCount: tokenCount))
    }
    set("general.quantization_version", .uint32(2))
    set("general.file_type", .uint32(recipe.fileType))
    if let statistics {
      set("quantize.imatrix.file", .string(GGUFString(Folder.split(statistics.path).name)))
      if let dataset = statistics.datasets.first {
        set("quantize.imatrix.dataset", .string(GGUFString(dataset)))
      }
      set("quantize.imatrix.entries_count", .uint32(UInt32(clamping: statistics.names.count)))
      if let chunkCount = statistics.chunkCount {
        set("quantize.imatrix.chunks_count", .uint32(UInt32(clamping: chunkCount)))
      }
    }
    return pairs
  }

  /// The model's notes and the plan's own.
  static func notes(
    _ model: BoundModel, _ entries: [Entry], _ statistics: StatisticsFile?,
    _ split: GGUFSplitLayout?
  ) -> [String] {
    var notes = model.notes
    let double = entries.filter { entry in
      entry.tensor.expression.sources.contains { $0.info.type == .element(.f64) }
    }
    if !double.isEmpty {
      let isOne = double.count == 1
      notes.append(
        "\(double.count) tensor\(isOne ? " is" : "s are") F64 in the source and pass\(isOne ? "es" : "") through F32: "
          + "engines compute in single precision at most")
    }
    let lossy = entries.filter { entry in
      guard entry.format.isQuantized, !entry.isCopy else { return false }
      return entry.tensor.expression.sources.contains { source in
        if case .block(let format) = source.info.type { return format.isQuantized }
        return false
      }
    }
    if !lossy.isEmpty {
      notes.append(
        "\(lossy.count) tensors are quantized a second time, from a file that was quantized already: "
          + "expect more error than from the original weights")
    }
    if let statistics {
      let blind = entries.filter { $0.format.isQuantized && !$0.isCopy && !$0.isWeighted }
      if !blind.isEmpty {
        let shown = blind.prefix(4).map(\.name).joined(separator: ", ")
        notes.append(
          "the importance matrix has no row for \(blind.count) quantized tensors, encoded without weights: "
            + shown + (blind.count > 4 ? ", …" : ""))
      }
      notes += importanceNotes(model, entries, statistics)
    }
    if let split, !split.oversized.isEmpty {
      notes.append(
        "tensors larger than a part stand alone in one: " + split.oversized.joined(separator: ", "))
    }
    return notes
  }
}

extension RowExpression {
  /// The source tensors its rows come from.
  var sources: [SourceTensor] {
    pieces.compactMap { piece in
      if case .source(let tensor, _, _, _, _, _) = piece { return tensor }
      return nil
    }
  }
}
