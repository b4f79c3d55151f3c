import Synchronization
import TinctureBlocks
import TinctureCatalog
import TinctureCore

/// Carries out a plan: every chunk of rows is read, widened, encoded and written at its known offset, by as
/// many workers as there are; none waits for another.
struct Exporter: Sendable {
  /// Elements of an encoded chunk: its values stay in a core's cache between widening and encoding.
  private static let chunkElementCount = 128 << 10
  /// Bytes of a copied chunk.
  private static let copyByteCount = 1 << 20
  /// Zero bytes after a tensor never exceed the greatest alignment that is written.
  private static let paddingByteCount = 64 << 10
  /// Bytes after which writing back to the disk is asked for.
  private static let writebackByteCount: UInt64 = 32 << 20

  let plan: ExportPlan
  let view: CanonicalView
  let outputs: OutputSet
  private let chunks: ChunkMap
  private let faint = FaintRows()

  init(_ plan: ExportPlan, outputs: OutputSet) {
    self.plan = plan
    view = CanonicalView(plan.model)
    self.outputs = outputs
    var chunks = ChunkMap()
    for entry in plan.entries {
      chunks.append(
        rowCount: entry.shape.rowCount, rowsPerChunk: Exporter.rowsPerChunk(entry))
    }
    self.chunks = chunks
  }

  /// Rows of a chunk: a matter of the tensor alone.
  private static func rowsPerChunk(_ entry: ExportPlan.Entry) -> Int {
    let rows =
      entry.isCopy
      ? copyByteCount / max(1, rowByteCount(entry)) : chunkElementCount / entry.shape.rowLength
    return max(1, min(rows, entry.shape.rowCount))
  }

  private static func rowByteCount(_ entry: ExportPlan.Entry) -> Int {
    guard let count = entry.format.rowByteCount(entry.shape.rowLength) else {
      preconditionFailure("the layout has checked the rows of \(entry.name)")
    }
    return count
  }

  /// The largest buffers any chunk of the plan needs.
  static func slabSizes(_ entries: [ExportPlan.Entry]) -> Slab.Sizes {
    var sizes = Slab.Sizes()
    for entry in entries {
      let rows = rowsPerChunk(entry)
      sizes.cover(
        Slab.Sizes(
          source: entry.isCopy ? 0 : CanonicalView.scratchByteCount(entry.tensor, rowCount: rows),
          values: entry.isCopy ? 0 : rows * entry.shape.rowLength * MemoryLayout<Float>.size,
          encoded: rows * rowByteCount(entry) + paddingByteCount))
    }
    return sizes
  }

  /// Writes headers and tensors; nothing is synced or renamed.
  ///
  /// - Throws: what reading, encoding or writing throws, with the tensor's name; of several failures
  ///   the one of the first chunk.
  /// - Returns: how many workers ran at most, and notes about tensors that the stored types could not hold.
  func run(_ resources: Resources) throws(TinctureError) -> (threads: Int, notes: [String]) {
    let held = plan.heldByteCount
    try resources.memory.lease(held, for: "the metadata and the importance rows")
    defer { resources.memory.giveBack(held) }
    let pool = try SlabPool(
      Exporter.slabSizes(plan.entries), threads: min(resources.threads, max(1, chunks.count)),
      budget: resources.memory)
    for (layout, output) in zip(plan.layouts, outputs.files) {
      try write(layout.header, to: output)
    }
    let total = plan.weightByteCount
    let done = Atomic<UInt64>(0)
    try Parallel.forEachChunk(of: chunks.count, chunk: 1, threads: pool.count) {
      (range) throws(TinctureError) in
      for index in range {
        try resources.cancellation.check()
        let chunk = chunks[index]
        let entry = plan.entries[chunk.entry]
        let count = try located(
          file: sourcePath(entry), tensor: entry.tensor.label, layer: entry.layer
        ) {
          () throws(TinctureError) in
          try pool.withSlab { (slab) throws(TinctureError) in try write(chunk, of: entry, slab) }
        }
        let completed = done.add(UInt64(count), ordering: .relaxed).newValue
        resources.progress?(
          Progress(item: entry.name, completedBytes: min(completed, total), totalBytes: total))
      }
    }
    return (pool.count, faintNotes())
  }

  /// Tensors with rows that were too small for the half-precision numbers of their type.
  private func faintNotes() -> [String] {
    let found = faint.counts.withLock { $0 }
    return found.sorted { $0.key < $1.key }.map { (index, count) in
      let entry = plan.entries[index]
      return
        "\(entry.tensor.label): \(count) of \(entry.shape.rowCount) rows hold values too small for the half-precision "
        + "numbers of \(entry.format.name.uppercased()), and are zeros or nearly so in the file; BF16 or F32 holds them"
    }
  }

  /// The file that the tensor's rows come from, for errors.
  private func sourcePath(_ entry: ExportPlan.Entry) -> String? {
    entry.tensor.expression.sources.first.map {
      plan.model.source.files[$0.info.fileIndex].path
    }
  }

  private func write(_ bytes: [UInt8], to output: OutputFile) throws(TinctureError) {
    let result = bytes.withUnsafeBytes { buffer in
      Result { () throws(TinctureError) in try output.write(buffer, at: 0) }
    }
    try result.get()
  }

  /// Reads, encodes and writes one chunk; returns its bytes without padding.
  private func write(
    _ chunk: ChunkMap.Chunk, of entry: ExportPlan.Entry, _ slab: Slab
  ) throws(TinctureError) -> Int {
    let rowBytes = Exporter.rowByteCount(entry)
    let count = chunk.rows.count * rowBytes
    let target = UnsafeMutableRawBufferPointer(rebasing: slab.encoded[0..<count])
    if entry.isCopy {
      try view.copyRows(of: entry.tensor, chunk.rows, into: target)
      if !plan.options.allowsNonFinite {
        try FiniteCheck.check(
          UnsafeRawBufferPointer(target), format: entry.format, rowLength: entry.shape.rowLength,
          tensor: entry.tensor, firstRow: chunk.rows.lowerBound)
      }
    } else {
      try encode(chunk, of: entry, slab, into: target)
    }
    let offset = entry.byteOffset + UInt64(chunk.rows.lowerBound) * UInt64(rowBytes)
    var length = count
    if chunk.isLast {
      // Pad to the alignment here: the last bytes of a file must exist, and no gap may hold old bytes.
      let alignment = plan.layouts[entry.part].alignment
      let padding = (alignment - Int(entry.byteCount % UInt64(alignment))) % alignment
      precondition(padding <= Exporter.paddingByteCount, "alignment \(alignment)")
      for index in count..<count + padding { slab.encoded[index] = 0 }
      length += padding
    }
    let output = outputs.files[entry.part]
    try output.write(
      UnsafeRawBufferPointer(rebasing: slab.encoded[0..<length]), at: offset)
    startWriteback(output, from: offset, count: length)
    return count
  }

  /// Every 32 MiB of a file, asks the system to begin with the stretch before.
  private func startWriteback(_ output: OutputFile, from offset: UInt64, count: Int) {
    let step = Exporter.writebackByteCount
    let end = offset + UInt64(count)
    guard offset / step != end / step, end / step > 0 else { return }
    output.startWriteback(at: (end / step - 1) * step, count: Int(step))
  }

  private func encode(
    _ chunk: ChunkMap.Chunk, of entry: ExportPlan.Entry, _ slab: Slab,
    into target: UnsafeMutableRawBufferPointer
  ) throws(TinctureError) {
    guard let values = slab.values.baseAddress, let bytes = target.baseAddress else { return }
    try view.rows(of: entry.tensor, chunk.rows, into: values, scratch: slab.source)
    let rowLength = entry.shape.rowLength
    func run(_ importance: UnsafePointer<Float>?) throws(EncodingError) {
      let count = try entry.format.encodeCountingFaint(
        values, rowCount: chunk.rows.count, rowLength: rowLength, importance: importance,
        into: bytes)
      if count > 0 { faint.counts.withLock { $0[chunk.entry, default: 0] += count } }
    }
    do throws(EncodingError) {
      guard let importance = entry.importance else { return try run(nil) }
      let result = importance.withUnsafeBufferPointer { row in
        Result { () throws(EncodingError) in try run(row.baseAddress) }
      }
      try result.get()
    } catch {
      if case .nonFinite = error, plan.options.allowsNonFinite, !entry.format.isQuantized {
        try FiniteCheck.encodeAnyway(
          UnsafeBufferPointer(start: values, count: chunk.rows.count * rowLength),
          format: entry.format, rowLength: rowLength, tensor: entry.tensor,
          firstRow: chunk.rows.lowerBound, into: target)
        return
      }
      throw error.located(in: entry.tensor, format: entry.format, firstRow: chunk.rows.lowerBound)
    }
  }
}

/// How many rows of each entry came out as zeros, or nearly.
private final class FaintRows: Sendable {
  let counts = Mutex<[Int: Int]>([:])
}
