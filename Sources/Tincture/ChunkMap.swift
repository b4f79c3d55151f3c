/// The chunks of all tensors in one row of numbers, so that workers never wait at a tensor's end.
///
/// How a tensor is cut depends on the tensor alone: not on threads, not on memory.
struct ChunkMap: Sendable {
  /// Rows `rows` of entry number `entry`.
  struct Chunk: Sendable {
    let entry: Int
    let rows: Range<Int>
    let isLast: Bool
  }

  private var firstChunks: [Int] = []
  private var rowsPerChunk: [Int] = []
  private var rowCounts: [Int] = []
  private(set) var count = 0

  /// Adds the next entry: `rowCount` rows, cut after every `rowsPerChunk`.
  mutating func append(rowCount: Int, rowsPerChunk: Int) {
    precondition(rowCount > 0 && rowsPerChunk > 0, "\(rowCount) rows by \(rowsPerChunk)")
    firstChunks.append(count)
    rowCounts.append(rowCount)
    self.rowsPerChunk.append(rowsPerChunk)
    count += (rowCount + rowsPerChunk - 1) / rowsPerChunk
  }

  subscript(index: Int) -> Chunk {
    precondition(index >= 0 && index < count, "chunk \(index) of \(count)")
    // The last entry that begins at or before `index`.
    var low = 0
    var high = firstChunks.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if firstChunks[middle] <= index { low = middle } else { high = middle }
    }
    let start = (index - firstChunks[low]) * rowsPerChunk[low]
    let end = min(rowCounts[low], start + rowsPerChunk[low])
    return Chunk(entry: low, rows: start..<end, isLast: end == rowCounts[low])
  }
}
