import Glibc

/// A file opened for reading by position.
///
/// Reads go through `pread`, never a mapping, so a file that shrinks while it is read gives an error and no
/// signal. Safe from several threads.
public final class InputFile: Sendable {
  public let path: String
  /// Size in bytes when it was opened.
  public let byteCount: UInt64
  /// Device and inode: the same for every name and link of one file.
  package let identity: FileIdentity
  private let descriptor: Int32
  /// When it was last written to before it was opened.
  private let modified: timespec
  /// The contents when the file lives in memory only.
  private let memory: [UInt8]?

  /// A file that exists in memory only, for tests and fuzzing.
  package init(memory bytes: [UInt8], name: String) {
    path = name
    descriptor = -1
    memory = bytes
    modified = timespec()
    byteCount = UInt64(bytes.count)
    identity = FileIdentity(device: .max, inode: .max)
  }

  /// - Throws: `file.read` when the file cannot be opened or is not a regular file.
  public init(path: String) throws(TinctureError) {
    if let number = FileFaults.injected(.open) {
      throw SystemError.cannotRead(path, "open", number)
    }
    var descriptor: Int32
    repeat {
      descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    } while descriptor < 0
      && errno == EINTR
    guard descriptor >= 0 else { throw SystemError.cannotRead(path, "open", errno) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let number = errno
      close(descriptor)
      throw SystemError.cannotRead(path, "examine", number)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw TinctureError(
        .init("file.notRegular", .invalidInput), "not a regular file", place: .init(file: path),
        advice: "name a file")
    }
    self.path = path
    self.descriptor = descriptor
    memory = nil
    modified = status.st_mtim
    byteCount = UInt64(max(0, status.st_size))
    identity = FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Fills `buffer` from `offset`.
  ///
  /// - Throws: `file.read`; `file.truncated` when the file ends before the buffer is full.
  public func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(TinctureError)
  {
    guard let base = buffer.baseAddress else { return }
    if let number = FileFaults.injected(.read) {
      throw SystemError.cannotRead(path, "read", number).at(byteOffset: offset)
    }
    guard offset <= UInt64(Int64.max) - UInt64(buffer.count) else {
      throw TinctureError(
        .init("file.offset", .invalidInput), "offset beyond any file", place: .init(file: path))
    }
    var done = 0
    if let memory {
      let start = Int(min(offset, byteCount))
      done = min(buffer.count, memory.count - start)
      memory.withUnsafeBytes { buffer.copyMemory(from: .init(rebasing: $0[start..<start + done])) }
      if done < buffer.count { throw truncated(at: offset, wanted: buffer.count, got: done) }
    }
    while done < buffer.count {
      let count = pread(
        descriptor, base + done, buffer.count - done, off_t(offset) + off_t(done))
      if count < 0 {
        if errno == EINTR { continue }
        throw SystemError.cannotRead(path, "read", errno).at(byteOffset: offset + UInt64(done))
      }
      if count == 0 {
        throw truncated(at: offset, wanted: buffer.count, got: done)
      }
      done += count
    }
  }

  private func truncated(at offset: UInt64, wanted: Int, got: Int) -> TinctureError {
    TinctureError(
      .init("file.truncated", .invalidInput), "the file ends too early",
      place: .init(file: path, byteOffset: offset + UInt64(got)),
      expected: "\(wanted) bytes from byte \(offset)", found: "\(got) bytes",
      advice: "download or copy the file again")
  }

  /// `count` bytes from `offset`; the caller has bounded `count`.
  public func bytes(at offset: UInt64, count: Int) throws(TinctureError) -> [UInt8] {
    guard offset <= byteCount, UInt64(count) <= byteCount - offset else {
      throw TinctureError(
        .init("file.truncated", .invalidInput), "the file ends too early",
        place: .init(file: path, byteOffset: offset),
        expected: "\(count) bytes from byte \(offset)", found: "a file of \(byteCount) bytes",
        advice: "download or copy the file again")
    }
    try located(file: path) { () throws(TinctureError) in
      try Allocation.check(count, for: "the file's contents")
    }
    var failure: TinctureError?
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(TinctureError) {
        try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
        initialized = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// The whole file.
  ///
  /// - Parameter advice: what helps when it is too large; nil: another file stands in its place.
  /// - Throws: `file.tooLarge` when it is larger than `limit` bytes; `file.changed`.
  public func contents(limit: Int, advice: String? = nil) throws(TinctureError) -> [UInt8] {
    guard byteCount <= UInt64(limit) else {
      throw TinctureError(
        .init("file.tooLarge", .invalidInput), "the file is larger than such a file can be",
        place: .init(file: path), expected: "at most \(limit) bytes", found: "\(byteCount) bytes",
        advice: advice ?? "put the right file in its place: it is another one, or damaged")
    }
    let bytes = try bytes(at: 0, count: Int(byteCount))
    try checkUnchanged()
    return bytes
  }

  /// Maps the first `count` bytes for reading; ``MappedFile`` owns the mapping.
  func map(_ count: Int) throws(TinctureError) -> UnsafeMutableRawPointer {
    guard descriptor >= 0,
      let address = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED
    else { throw SystemError.cannotRead(path, "map", descriptor < 0 ? EBADF : errno) }
    return address
  }

  /// Checks after reading that nothing was written to the file since it was opened: what was read may be of two versions.
  ///
  /// It goes by size and time of modification, so a write within the clock tick of the one before goes unseen (a few
  /// milliseconds).
  /// - Throws: `file.changed`, `file.read`.
  package func checkUnchanged() throws(TinctureError) {
    guard descriptor >= 0 else { return }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw SystemError.cannotRead(path, "examine", errno)
    }
    let now = UInt64(max(0, status.st_size))
    guard
      now != byteCount || status.st_mtim.tv_sec != modified.tv_sec
        || status.st_mtim.tv_nsec != modified.tv_nsec
    else { return }
    throw TinctureError(
      .init("file.changed", .invalidInput), "the file was written to while it was read",
      place: .init(file: path), expected: "the \(byteCount) bytes that were there at the beginning",
      found: now == byteCount ? "as many bytes, written later" : "\(now) bytes",
      advice: "wait until nothing writes the file any more, then run the command again")
  }

  /// Whether the file can be mapped: not one that lives in memory only.
  package var canBeMapped: Bool { descriptor >= 0 && byteCount > 0 }

  /// The file's size now.
  func currentByteCount() throws(TinctureError) -> UInt64 {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw SystemError.cannotRead(path, "examine", errno)
    }
    return UInt64(max(0, status.st_size))
  }

  /// Tells the system that the range will be read soon; a hint without an error.
  package func willNeed(at offset: UInt64, count: Int) {
    if descriptor < 0 { return }
    _ = posix_fadvise(descriptor, off_t(offset), off_t(count), POSIX_FADV_WILLNEED)
  }
}

/// Which file on which device, whatever its name.
package struct FileIdentity: Hashable, Sendable {
  package let device: UInt64
  package let inode: UInt64

  package init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}
