import CKernels
import TinctureBlocks
import TinctureCatalog
import TinctureContainers
import TinctureCore

/// From token ids to the vectors that enter layer 0.
final class Embedding {
  private let model: RuntimeModel
  private let team: Team
  private let embedding: CanonicalTensor
  /// The table where it is mapped or in memory already; else rows are read one by one.
  private let table: WeightMatrix?
  /// BERT's learned positions, segments and first norm.
  private let set: WeightSet?

  /// - Parameter table: the token embedding's rows, if they are in memory.
  /// - Throws: `memory.budget`, `file.*`, `runtime.missing`.
  init(
    _ model: RuntimeModel, store: WeightStore, team: Team, table: WeightMatrix? = nil
  ) throws(TinctureError) {
    self.model = model
    self.team = team
    self.table = table
    guard let embedding = model.tensors["token_embd.weight"] else {
      throw TinctureError(
        .init("runtime.missing", .invalidInput), "the model has no token embedding")
    }
    self.embedding = embedding
    set =
      model.graph.rule.positions == .learned
      ? try store.load([
        "token_embd_norm.weight", "token_embd_norm.bias", "position_embd.weight",
        "token_types.weight",
      ]) : nil
  }

  /// Writes the vectors of `ids`, which stand at positions from `first` on.
  ///
  /// - Throws: `file.*`.
  func vectors(
    _ ids: [Int32], types: [Int32]?, first: Int, into target: Numbers
  ) throws(TinctureError) {
    let graph = model.graph
    let width = graph.width
    let positions = set?.matrix("position_embd.weight")
    let segments = set?.matrix("token_types.weight")
    let norm = set?.norm("token_embd_norm")
    let job = Unchecked(
      (embedding: self, base: target, norm: norm, ops: Operations(target.arithmetic)))
    try Parallel.forEachChunk(of: ids.count, chunk: 64, threads: ids.count > 64 ? team.threads : 1)
    { (tokens) throws(TinctureError) in
      let (own, base, norm, ops) = job.value
      let lineBytes = (width * MemoryLayout<Float>.size + 63) / 64 * 64
      let bytes = CanonicalView.scratchByteCount(own.embedding, rowCount: 1)
      let scratch = try Allocation.aligned(lineBytes + bytes + 64, for: "reading weights")
      defer { scratch.deallocate() }
      let rest = UnsafeMutableRawBufferPointer(rebasing: scratch[lineBytes...])
      for token in tokens {
        let place = base + token * width
        guard let line = scratch.baseAddress?.assumingMemoryBound(to: Float.self) else { continue }
        try own.row(Int(ids[token]), into: line, rest)
        ops.scale(line, by: graph.embeddingScale, into: place, width: width)
        if let segments {
          own.decode(segments, Int(types?[token] ?? 0), into: line)
          ops.add(place, line, width: width)
        }
        if let positions {
          own.decode(positions, first + token, into: line)
          ops.add(place, line, width: width)
        }
        if let norm, norm.bias != nil {
          ops.normalize(place, norm, graph.normEpsilon, into: place, isInput: false, width: width)
        }
      }
    }
  }

  private func row(
    _ id: Int, into place: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    if let table {
      decode(table, id, into: place)
    } else {
      try CanonicalView(model.source).rows(
        of: embedding, id..<id + 1, into: place, scratch: scratch)
    }
  }

  private func decode(_ matrix: WeightMatrix, _ row: Int, into place: UnsafeMutablePointer<Float>) {
    matrix.format.decode(
      matrix.bytes + row * matrix.rowByteCount, rowCount: 1, rowLength: matrix.rowLength,
      into: place)
  }
}
