import CSystem
import Glibc

/// A file's bytes mapped for reading, for weights that are used in place.
///
/// A mapping cannot be read past the file's end: if another program cuts the file short while it is mapped, touching
/// the lost part raises SIGBUS. A program calls ``watch()`` once; from then on the lost part reads as zeros, and
/// ``check()`` throws. Who works with the bytes calls ``check()`` before he gives away what he made of them. Without
/// ``watch()``, as in someone else's program that handles its signals itself, SIGBUS ends the process; work that must
/// never be ended so reads with ``InputFile/read(at:into:)``.
package final class MappedFile: Sendable {
  package let path: String
  package let byteCount: Int
  private let start: Unchecked<UnsafeRawPointer>
  private let file: InputFile
  /// In the table of mappings whose loss is noticed; -1 when it is full.
  private let place: Int32

  /// Lets this process outlive files that are cut short while they are mapped; to be called once, before any work.
  package static func watch() { _ = ts_watch_mappings() }

  /// First byte; valid as long as this object.
  package var bytes: UnsafeRawPointer { start.value }

  /// - Throws: `file.read` when the system cannot map the file; `file.truncated` when it is empty.
  package init(_ file: InputFile) throws(TinctureError) {
    guard file.byteCount > 0, let count = Int(exactly: file.byteCount) else {
      throw TinctureError(
        .init("file.truncated", .invalidInput), "the file is empty", place: .init(file: file.path))
    }
    let address = try file.map(count)
    self.file = file
    path = file.path
    byteCount = count
    start = Unchecked(UnsafeRawPointer(address))
    place = ts_mapping_add(address, UInt64(count))
  }

  deinit {
    ts_mapping_remove(place)
    munmap(UnsafeMutableRawPointer(mutating: start.value), byteCount)
  }

  /// - Throws: `file.truncated` when the file has become shorter since it was opened.
  package func check() throws(TinctureError) {
    let now = try file.currentByteCount()
    guard now >= UInt64(byteCount), ts_mapping_is_torn(place) == 0 else {
      throw TinctureError(
        .init("file.truncated", .invalidInput), "the file was cut short while it was in use",
        place: .init(file: path), expected: "\(byteCount) bytes",
        found: now < UInt64(byteCount) ? "\(now) bytes" : "pages that were lost meanwhile",
        advice: "leave the file alone until the command has ended")
    }
  }

  /// Asks the system to read the whole file soon; a hint without an error.
  package func willNeed() {
    madvise(UnsafeMutableRawPointer(mutating: start.value), byteCount, MADV_WILLNEED)
  }
}
