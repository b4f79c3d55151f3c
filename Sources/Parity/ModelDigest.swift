import TinctureContainers
import TinctureCore

/// A digest of a model's weights, the same however they are spread over files.
///
/// SHA-256 over all tensors in the order of their names' bytes, each as its name, a zero byte, its stored type's name, a
/// zero byte, its sizes (outermost first, decimal, joined by "x"), a zero byte, and the SHA-256 of each piece of 16 MiB
/// of its bytes. It says nothing about configuration or tokenizer.
/// - Complexity: reads every weight once; about 1.5 GB/s a thread from memory.
package enum ModelDigest {
  static let pieceByteCount = 1 << 24

  /// The digest as hexadecimal text.
  ///
  /// - Throws: `file.read`, `memory.budget`, `run.interrupted`.
  package static func make(
    _ source: any TensorSource, threads: Int, memory: MemoryBudget, cancellation: Cancellation
  ) throws(TinctureError) -> String {
    let tensors = source.tensors.sorted {
      $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
    }
    var pieces: [(tensor: Int, offset: UInt64, count: Int)] = []
    for (number, tensor) in tensors.enumerated() {
      var done: UInt64 = 0
      while done < tensor.byteCount {
        let count = Int(min(UInt64(pieceByteCount), tensor.byteCount - done))
        pieces.append((number, done, count))
        done += UInt64(count)
      }
    }
    let workers = max(1, min(threads, pieces.count))
    try memory.lease(workers * pieceByteCount, for: "the digest of the weights")
    defer { memory.giveBack(workers * pieceByteCount) }
    let list = pieces
    let sources = source
    var digests = [[UInt8]](repeating: [], count: pieces.count)
    try withOutput(&digests) { (digests) throws(TinctureError) in
      try Parallel.forEachChunk(of: list.count, chunk: 1, threads: workers) {
        (range) throws(TinctureError) in
        for index in range {
          try cancellation.check()
          let piece = list[index]
          let tensor = tensors[piece.tensor]
          let bytes = try located(tensor: tensor.name) { () throws(TinctureError) in
            try sources.files[tensor.fileIndex].bytes(
              at: tensor.byteOffset + piece.offset, count: piece.count)
          }
          digests.value[index] = SHA256.of(bytes)
        }
      }
    }
    var hash = SHA256()
    var next = 0
    for (number, tensor) in tensors.enumerated() {
      let sizes = tensor.shape.dimensions.map { "\($0)" }.joined(separator: "x")
      for part in [tensor.name, tensor.type.description, sizes] {
        hash.update(Array(part.utf8) + [0])
      }
      while next < list.count, list[next].tensor == number {
        hash.update(digests[next])
        next += 1
      }
    }
    return Hexadecimal.text(hash.finish())
  }
}
