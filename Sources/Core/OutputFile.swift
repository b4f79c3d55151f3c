import CSystem
import Glibc
import Synchronization

/// A file written under `NAME.partial` and renamed to its final name when whole.
///
/// The partial file is locked, so two runs cannot write one target. Until ``commit()`` the final name is
/// untouched; ``abandon()`` (and `deinit`) removes the partial file. `write` is safe from several threads.
///
/// The partial file begins with ``marker`` until it is synced: a run that was killed leaves a file that no reader takes
/// for whole and that the next run knows for its own. A file of that name that begins otherwise is somebody else's and
/// is not touched. Before the marker gives way to the file's first bytes, the file is renamed to
/// `NAME.tincture.partial`, a name that nobody else gives: a run killed after that is known by the name.
package final class OutputFile: Sendable {
  /// First bytes of a file that is not whole yet.
  static let marker = Array("tincture partial".utf8)

  private struct Start {
    /// The bytes that belong where the marker stands, as far as they were written.
    var bytes = [UInt8](repeating: 0, count: OutputFile.marker.count)
    /// End of everything written so far.
    var end: UInt64 = 0
  }

  package let path: String
  package let partialPath: String
  /// The name between the marker's end and the final name.
  private let finishingPath: String
  private let descriptor: Int32
  private let replaces: Bool
  private let state = OnceFlag()
  private let isFinishing = Atomic<Bool>(false)
  private let start = Mutex(Start())

  /// Creates `path + ".partial"` and reserves `byteCount` bytes for it.
  ///
  /// - Parameters:
  ///   - replacing: whether an existing file at `path` may be replaced.
  ///   - isModel: whether a smaller recipe would make it smaller, for the advice.
  /// - Throws: `file.exists`, `file.busy`, `file.partial` (the partial name is somebody else's), `file.write`,
  ///   `disk.full` (exit 6, before anything is written).
  package init(
    path: String, byteCount: UInt64, replacing: Bool, isModel: Bool = true
  ) throws(TinctureError) {
    try OutputFile.check(path: path, replacing: replacing)
    self.path = path
    replaces = replacing
    partialPath = path + ".partial"
    finishingPath = OutputFile.finishingPath(path)
    descriptor = try OutputFile.openLocked(partialPath)
    do throws(TinctureError) {
      try removeLeftover()
      try writeAll(OutputFile.marker, at: 0)
      try reserve(byteCount, folder: Folder.split(path).folder, isModel: isModel)
    } catch {
      abandon()
      throw error
    }
  }

  /// The name that a file which is to be called `path` has while its first bytes are written.
  package static func finishingPath(_ path: String) -> String { path + ".tincture.partial" }

  /// Removes what a run killed in its last moments left under the finishing name.
  private func removeLeftover() throws(TinctureError) {
    let other = open(finishingPath, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard other >= 0 else {
      if errno == ENOENT { return }
      throw SystemError.cannotWrite(path, "use the name \(finishingPath)", errno)
    }
    defer { close(other) }
    guard flock(other, LOCK_EX | LOCK_NB) == 0 else { throw OutputFile.busy(path) }
    guard unlink(finishingPath) == 0 || errno == ENOENT else {
      throw SystemError.cannotWrite(path, "remove \(finishingPath)", errno)
    }
  }

  private static func busy(_ path: String) -> TinctureError {
    TinctureError(
      .init("file.busy", .cannotWrite), "another run is writing this file",
      place: .init(file: path), advice: "wait for it, or give another output name")
  }

  /// The checks of the path that need no writing.
  static func check(path: String, replacing: Bool) throws(TinctureError) {
    let (folder, name) = Folder.split(path)
    guard !name.isEmpty, name != ".", name != ".." else {
      throw TinctureError(
        .init("file.name", .usage), "not a file name", place: .init(file: path),
        advice: "give the output a file name")
    }
    switch Folder.kind(folder) {
    case .folder: break
    case .missing: throw SystemError.cannotWrite(path, "write into \(folder)", ENOENT)
    default: throw SystemError.cannotWrite(path, "write into \(folder)", ENOTDIR)
    }
    switch Folder.kind(path) {
    case .missing where Folder.isLink(path) && !replacing:
      throw TinctureError(
        .init("file.exists", .cannotWrite), "the output's name is a link that leads nowhere",
        place: .init(file: path), advice: "give --force to replace it, or another name")
    case .missing: break
    case .file where replacing: break
    case .file:
      throw TinctureError(
        .init("file.exists", .cannotWrite), "the output exists already", place: .init(file: path),
        advice: "give --force to replace it, or another name")
    default:
      throw TinctureError(
        .init("file.notRegular", .cannotWrite), "the output's name is taken by something else",
        place: .init(file: path), advice: "give another name")
    }
  }

  deinit {
    abandon()
    close(descriptor)
  }

  private static func openLocked(_ path: String) throws(TinctureError) -> Int32 {
    if let number = FileFaults.injected(.open) {
      throw SystemError.cannotWrite(path, "create", number)
    }
    while true {
      let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
      guard descriptor >= 0 else {
        if errno == EINTR { continue }
        throw SystemError.cannotWrite(path, "create", errno)
      }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        close(descriptor)
        throw busy(path)
      }
      // Between open and lock the owner may have renamed or removed the file: then this is not it.
      var status = stat()
      guard fstat(descriptor, &status) == 0,
        Folder.identity(path)
          == FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
      else {
        close(descriptor)
        continue
      }
      guard status.st_mode & S_IFMT == S_IFREG, isOurs(descriptor, status.st_size) else {
        close(descriptor)
        throw TinctureError(
          .init("file.partial", .cannotWrite),
          "the name under which the output is written is taken by a file that is not ours",
          place: .init(file: path), expected: "no such file, or one that an interrupted run left",
          advice: "move it away, or give another output name")
      }
      guard ftruncate(descriptor, 0) == 0 else {
        let number = errno
        close(descriptor)
        throw SystemError.cannotWrite(path, "empty", number)
      }
      return descriptor
    }
  }

  /// Whether the file is empty or begins with the marker.
  private static func isOurs(_ descriptor: Int32, _ size: off_t) -> Bool {
    guard size > 0 else { return true }
    var bytes = [UInt8](repeating: 0, count: marker.count)
    let count = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, 0) }
    return count == marker.count && bytes == marker
  }

  private func reserve(
    _ byteCount: UInt64, folder: String, isModel: Bool
  ) throws(TinctureError) {
    let free = try Folder.freeBytes(folder)
    guard byteCount <= free else {
      throw TinctureError(
        .init("disk.full", .limit), "the disk has too little room for the output",
        place: .init(file: path), expected: "\(byteCount) free bytes", found: "\(free)",
        advice: isModel
          ? "free disk space, write to another disk, or choose a smaller recipe"
          : "free disk space, or write to another disk")
    }
    guard byteCount > 0 else { return }
    if let number = FileFaults.injected(.allocate) {
      throw SystemError.cannotWrite(path, "reserve \(byteCount) bytes", number)
    }
    // A file system without fallocate is no error: the writes themselves will tell.
    if ts_reserve(descriptor, Int64(byteCount)) != 0, errno == ENOSPC || errno == EDQUOT {
      throw SystemError.cannotWrite(path, "reserve \(byteCount) bytes", errno)
    }
  }

  /// Writes `bytes` at `offset`; the first bytes of the file are held back until ``sync()``.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(TinctureError) {
    guard !bytes.isEmpty else { return }
    let first = UInt64(OutputFile.marker.count)
    let held = offset < first ? min(bytes.count, Int(first - offset)) : 0
    start.withLock { start in
      for index in 0..<held { start.bytes[Int(offset) + index] = bytes[index] }
      start.end = max(start.end, offset + UInt64(bytes.count))
    }
    try writeNow(.init(rebasing: bytes[held...]), at: offset + UInt64(held))
  }

  private func writeAll(_ bytes: [UInt8], at offset: UInt64) throws(TinctureError) {
    let result = bytes.withUnsafeBytes { raw in
      Result { () throws(TinctureError) in try writeNow(raw, at: offset) }
    }
    try result.get()
  }

  private func writeNow(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(TinctureError) {
    guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
    if let number = FileFaults.injected(.write) {
      throw SystemError.cannotWrite(path, "write", number).at(byteOffset: offset)
    }
    var done = 0
    while done < bytes.count {
      let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset) + off_t(done))
      if count < 0 {
        if errno == EINTR { continue }
        throw SystemError.cannotWrite(path, "write", errno).at(byteOffset: offset + UInt64(done))
      }
      if count == 0 {
        throw SystemError.cannotWrite(path, "write", EIO).at(byteOffset: offset + UInt64(done))
      }
      done += count
    }
  }

  /// Writes `bytes` at `offset`.
  package func write(_ bytes: [UInt8], at offset: UInt64) throws(TinctureError) {
    let failure = bytes.withUnsafeBytes { raw -> TinctureError? in
      do throws(TinctureError) {
        try write(raw, at: offset)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  /// Asks the system to start writing the range out, so that the last sync is short; a hint.
  package func startWriteback(at offset: UInt64, count: Int) {
    ts_start_writeback(descriptor, Int64(offset), Int64(count))
  }

  /// Syncs the file, gives it its final name and syncs the folder.
  package func commit() throws(TinctureError) {
    try sync()
    try publish()
    OutputFile.syncFolder(Folder.split(path).folder)
  }

  /// Waits until the file's bytes are on the disk.
  func sync() throws(TinctureError) {
    guard Glibc.rename(partialPath, finishingPath) == 0 else {
      throw SystemError.cannotWrite(path, "rename from \(partialPath)", errno)
    }
    isFinishing.store(true, ordering: .releasing)
    let start = start.withLock { $0 }
    let count = Int(min(start.end, UInt64(start.bytes.count)))
    try writeAll(Array(start.bytes.prefix(count)), at: 0)
    if count < start.bytes.count {
      guard ftruncate(descriptor, off_t(count)) == 0 else {
        throw SystemError.cannotWrite(path, "shorten", errno)
      }
    }
    if let number = FileFaults.injected(.sync) {
      throw SystemError.cannotWrite(path, "sync", number)
    }
    guard fsync(descriptor) == 0 else { throw SystemError.cannotWrite(path, "sync", errno) }
  }

  /// Gives the file its final name.
  func publish() throws(TinctureError) {
    if let number = FileFaults.injected(.rename) {
      throw SystemError.cannotWrite(path, "rename from \(currentPath)", number)
    }
    try rename()
    state.finish()
  }

  /// Makes the folder's new names last; a file system that cannot is no error.
  static func syncFolder(_ folder: String) {
    let handle = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if handle >= 0 {
      _ = fsync(handle)
      close(handle)
    }
  }

  private func rename() throws(TinctureError) {
    if replaces {
      guard Glibc.rename(currentPath, path) == 0 else {
        throw SystemError.cannotWrite(path, "rename from \(currentPath)", errno)
      }
      return
    }
    if ts_rename_new(currentPath, path) == 0 { return }
    guard errno == EINVAL || errno == ENOSYS else {
      throw SystemError.cannotWrite(path, "rename from \(currentPath)", errno)
    }
    // The file system cannot refuse to replace in one step: a hard link can.
    guard link(currentPath, path) == 0 else {
      throw SystemError.cannotWrite(path, "give its name to", errno)
    }
    unlink(currentPath)
  }

  private var currentPath: String {
    isFinishing.load(ordering: .acquiring) ? finishingPath : partialPath
  }

  /// Removes the partial file unless it was committed.
  package func abandon() {
    if state.finish() { unlink(currentPath) }
  }
}
