import Synchronization
import TinctureCore

/// Writes a pack frame by frame, into a file or into memory.
///
/// Frames are appended by one thread at a time. A file appears under its name only after ``finish(index:)``.
package final class PackWriter: Sendable {
  private enum Sink: Sendable {
    case file(OutputFile)
    case memory(MemoryBudget)
  }

  private struct State {
    var byteCount: UInt64 = 0
    var bytes: [UInt8] = []
    var leased = 0
  }

  private let sink: Sink
  private let state = Mutex(State())

  /// - Throws: what `OutputFile` throws: `file.exists`, `file.busy`, `file.write`.
  package init(path: String, replacing: Bool) throws(TinctureError) {
    sink = .file(try OutputFile(path: path, byteCount: 0, replacing: replacing, isModel: false))
    try append(raw: PackLayout.head)
  }

  /// A pack that stays in memory; its bytes are leased from `memory` until the writer is gone.
  package init(memory: MemoryBudget) throws(TinctureError) {
    sink = .memory(memory)
    try append(raw: PackLayout.head)
  }

  deinit {
    switch sink {
    case .file(let file): file.abandon()
    case .memory(let memory): memory.giveBack(state.withLock { $0.leased })
    }
  }

  /// Bytes written so far.
  package var byteCount: UInt64 { state.withLock { $0.byteCount } }

  /// Appends a frame that holds `bytes`.
  ///
  /// - Throws: `file.write`, `memory.budget`.
  package func append(_ bytes: UnsafeRawBufferPointer) throws(TinctureError) -> PackFrame {
    precondition(bytes.count <= PackLayout.largestContent, "a frame of \(bytes.count) bytes")
    let digest = SHA256.of(bytes)
    let frame = try Zstd.compress(bytes)
    let offset = byteCount
    try append(raw: frame)
    return PackFrame(
      byteOffset: offset, byteCount: frame.count, contentByteCount: bytes.count, digest: digest)
  }

  package func append(_ bytes: [UInt8]) throws(TinctureError) -> PackFrame {
    let result = bytes.withUnsafeBytes { raw in
      Result { () throws(TinctureError) in try append(raw) }
    }
    return try result.get()
  }

  private func append(raw bytes: [UInt8]) throws(TinctureError) {
    switch sink {
    case .file(let file):
      try file.write(bytes, at: byteCount)
      state.withLock { $0.byteCount += UInt64(bytes.count) }
    case .memory(let memory):
      try memory.lease(bytes.count, for: "the reference in memory")
      state.withLock {
        $0.leased += bytes.count
        $0.bytes += bytes
        $0.byteCount += UInt64(bytes.count)
      }
    }
  }

  /// Writes the index (JSON) and the end, and gives a file its name. For a pack in memory, returns it opened.
  package func finish(index: [UInt8]) throws(TinctureError) -> InputFile? {
    let frame = try append(index)
    try append(raw: PackLayout.tail(frame))
    switch sink {
    case .file(let file):
      try file.commit()
      return nil
    case .memory:
      return InputFile(memory: state.withLock { $0.bytes }, name: "the reference in memory")
    }
  }
}
