import Glibc

/// One or more files that get their final names together.
///
/// All parts are written and synced under `NAME.partial` first. Then an older set is moved aside
/// (`NAME.replaced`, its first part first), the new parts get their names (the first part last), and the older set
/// is removed. A reader starts from the first part, so at no moment can it open a mixture; when a step fails, the
/// older set gets its names back.
package final class OutputSet: Sendable {
  package let files: [OutputFile]
  private let replacing: Bool

  /// Creates and reserves every part.
  ///
  /// - Parameter parts: final path and size of each, the first part first.
  /// - Throws: what `OutputFile.init` throws; `disk.full` before anything is created when the sum does not fit.
  package init(parts: [(path: String, byteCount: UInt64)], replacing: Bool) throws(TinctureError) {
    try OutputSet.check(parts: parts, replacing: replacing)
    var files: [OutputFile] = []
    do throws(TinctureError) {
      for part in parts {
        files.append(
          try OutputFile(path: part.path, byteCount: part.byteCount, replacing: replacing))
      }
    } catch {
      for file in files { file.abandon() }
      throw error
    }
    self.files = files
    self.replacing = replacing
  }

  /// Makes the checks of the initialiser and creates nothing.
  package static func check(parts: [(path: String, byteCount: UInt64)], replacing: Bool)
    throws(TinctureError)
  {
    for part in parts {
      try OutputFile.check(path: part.path, replacing: replacing)
      let aside = part.path + ".replaced"
      guard parts.count == 1 || Folder.kind(aside) == .missing else {
        throw TinctureError(
          .init("file.exists", .cannotWrite), "the name an older part would be moved to is taken",
          place: .init(file: aside),
          advice:
            "an interrupted run left it: give it its name without .replaced back, or remove it")
      }
    }
    try checkRoom(parts)
  }

  private static func checkRoom(_ parts: [(path: String, byteCount: UInt64)]) throws(TinctureError)
  {
    guard let first = parts.first else { return }
    let total = parts.reduce(0) { $0 + $1.byteCount }
    let folder = Folder.split(first.path).folder
    guard Folder.kind(folder) == .folder else { return }
    let free = try Folder.freeBytes(folder)
    guard total <= free else {
      throw TinctureError(
        .init("disk.full", .limit), "the disk has too little room for the output",
        place: .init(file: first.path), expected: "\(total) free bytes", found: "\(free)",
        advice: "free disk space, write to another disk, or choose a smaller recipe")
    }
  }

  /// Syncs all parts and gives them their names.
  package func commit() throws(TinctureError) {
    guard files.count > 1 else {
      for file in files { try file.commit() }
      return
    }
    for file in files { try file.sync() }
    var moved: [OutputFile] = []
    var published: [OutputFile] = []
    do throws(TinctureError) {
      if replacing {
        for file in files where Folder.kind(file.path) == .file {
          guard rename(file.path, file.path + ".replaced") == 0 else {
            throw SystemError.cannotWrite(file.path, "move aside", errno)
          }
          moved.append(file)
        }
      }
      for file in files.reversed() {
        try file.publish()
        published.append(file)
      }
    } catch {
      for file in published { unlink(file.path) }
      for file in moved.reversed() { _ = rename(file.path + ".replaced", file.path) }
      abandon()
      throw error
    }
    OutputFile.syncFolder(Folder.split(files[0].path).folder)
    for file in moved { unlink(file.path + ".replaced") }
  }

  /// Removes the partial files that were not committed.
  package func abandon() {
    for file in files { file.abandon() }
  }
}
