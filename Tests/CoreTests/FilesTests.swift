import Foundation
import Testing
import TinctureCore
import TinctureTestSupport

@Suite("Files", .serialized)
struct FilesTests {
  @Test func partialBecomesFinalOnlyOnCommit() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("out.bin")
    let file = try OutputFile(path: path, byteCount: 4, replacing: false)
    try file.write([1, 2, 3, 4], at: 0)
    #expect(Folder.kind(path) == .missing)
    #expect(Folder.kind(path + ".partial") == .file)
    try file.commit()
    #expect(Folder.kind(path) == .file)
    #expect(Folder.kind(path + ".partial") == .missing)
  }

  @Test func aFileThatIsTooLarge() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("in.json")
    try Data("{}\n".utf8).write(to: URL(fileURLWithPath: path))
    let file = try InputFile(path: path)
    #expect(try file.contents(limit: 3).count == 3)
    let error = try #require(throws: TinctureError.self) { _ = try file.contents(limit: 2) }
    #expect(error.code.name == "file.tooLarge" && error.place.file == path)
    #expect(error.advice?.contains("put the right file in its place") == true)
    let own = try #require(throws: TinctureError.self) {
      _ = try file.contents(limit: 2, advice: "split it")
    }
    #expect(own.advice == "split it")
  }

  @Test func aMappedFileThatIsCutReadsZerosAndSaysSo() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("weights")
    let page = Int(getpagesize())
    try Data(repeating: 7, count: 3 * page).write(to: URL(fileURLWithPath: path))
    MappedFile.watch()
    let mapped = try MappedFile(InputFile(path: path))
    let whole = try MappedFile(InputFile(path: path))
    func byte(_ offset: Int) -> UInt8 {
      mapped.bytes.load(fromByteOffset: offset, as: UInt8.self)
    }
    #expect(byte(2 * page) == 7)
    try mapped.check()
    #expect(truncate(path, off_t(page)) == 0)
    #expect(byte(0) == 7)
    #expect(byte(2 * page + 5) == 0)
    #expect(throws: TinctureError.self) { try mapped.check() }
    // Grown again, what was lost stays lost.
    #expect(truncate(path, off_t(3 * page)) == 0)
    let error = #expect(throws: TinctureError.self) { try mapped.check() }
    #expect(error?.code.name == "file.truncated")
    try whole.check()
  }

  /// A write after opening shows whatever it wrote: as many bytes, fewer or more.
  @Test(arguments: [[UInt8](repeating: 8, count: 64), [1], [UInt8](repeating: 7, count: 65)])
  func aFileThatIsWrittenToSaysSo(_ bytes: [UInt8]) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("weights")
    try Data(repeating: 7, count: 64).write(to: URL(fileURLWithPath: path))
    // File systems tell times apart by a few milliseconds.
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: path)
    let file = try InputFile(path: path)
    _ = try file.contents(limit: 64)
    try file.checkUnchanged()
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: UInt64(bytes.count))
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
    let error = #expect(throws: TinctureError.self) { try file.checkUnchanged() }
    #expect(error?.code.name == "file.changed" && error?.code.kind == .invalidInput)
    #expect(error?.place.file == path)
    try InputFile(memory: [1], name: "memory").checkUnchanged()
  }

  @Test func abandonLeavesNothing() throws {
    let folder = try TemporaryFolder()
    do {
      let file = try OutputFile(path: folder.path("a"), byteCount: 10, replacing: false)
      file.abandon()
    }
    do {
      _ = try OutputFile(path: folder.path("b"), byteCount: 10, replacing: false)
    }
    #expect(try Folder.names(folder.path).isEmpty)
  }

  @Test func existingOutputNeedsForce() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("old")
    try Data([7]).write(to: URL(fileURLWithPath: path))
    let error = #expect(throws: TinctureError.self) {
      _ = try OutputFile(path: path, byteCount: 1, replacing: false)
    }
    #expect(error?.code.name == "file.exists")
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([7]))
    try OutputFile(path: path, byteCount: 0, replacing: true).commit()
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)).isEmpty)
  }

  @Test func aFileThatAppearsMeanwhileIsNotReplaced() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("late")
    let file = try OutputFile(path: path, byteCount: 0, replacing: false)
    try Data([9]).write(to: URL(fileURLWithPath: path))
    let error = #expect(throws: TinctureError.self) { try file.commit() }
    #expect(error?.code.kind == .cannotWrite)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([9]))
  }

  @Test func twoRunsCannotWriteOneTarget() throws {
    let folder = try TemporaryFolder()
    let first = try OutputFile(path: folder.path("x"), byteCount: 0, replacing: false)
    let error = #expect(throws: TinctureError.self) {
      _ = try OutputFile(path: folder.path("x"), byteCount: 0, replacing: false)
    }
    #expect(error?.code.name == "file.busy")
    try first.commit()
  }

  @Test func tooLittleDiskIsSaidBeforeWriting() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: TinctureError.self) {
      _ = try OutputFile(path: folder.path("x"), byteCount: 1 << 60, replacing: false)
    }
    #expect(error?.code.name == "disk.full")
    #expect(error.map { ExitStatus($0.code.kind) } == .limit)
    #expect(try Folder.names(folder.path).isEmpty)
  }

  @Test func readingBeyondTheEndIsAnError() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("in")
    try Data(count: 100).write(to: URL(fileURLWithPath: path))
    for file in [
      try InputFile(path: path), InputFile(memory: [UInt8](repeating: 0, count: 100), name: "m"),
    ] {
      #expect(try file.bytes(at: 90, count: 10).count == 10)
      for (offset, count) in [(95, 6), (101, 1), (0, 101)] {
        #expect(throws: TinctureError.self) {
          _ = try file.bytes(at: UInt64(offset), count: count)
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 8)
        defer { buffer.deallocate() }
        let error = #expect(throws: TinctureError.self) {
          try file.read(at: UInt64(offset), into: buffer)
        }
        #expect(error?.code.name == "file.truncated")
      }
    }
  }

  @Test func aFileThatShrinksGivesAnErrorAndNoSignal() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("in")
    try Data(count: 1 << 20).write(to: URL(fileURLWithPath: path))
    let file = try InputFile(path: path)
    #expect(truncate(path, 4096) == 0)
    let error = #expect(throws: TinctureError.self) { _ = try file.bytes(at: 0, count: 1 << 20) }
    #expect(error?.code.name == "file.truncated")
  }

  @Test func foldersPipesAndMissingFilesAreRefused() throws {
    let folder = try TemporaryFolder()
    for path in [folder.path, folder.path("missing"), "/dev/null"] {
      let error = #expect(throws: TinctureError.self) { _ = try InputFile(path: path) }
      #expect(error?.code.kind == .invalidInput)
    }
  }

  @Test("the k-th fault reaches the caller", arguments: FileFaults.Operation.allCases)
  func faults(operation: FileFaults.Operation) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("f")
    try Data([1, 2]).write(to: URL(fileURLWithPath: path))
    FileFaults.arm(operation, index: 0, errorNumber: EIO)
    defer { FileFaults.disarm() }
    #expect(throws: TinctureError.self) {
      let input = try InputFile(path: path)
      let bytes = try input.bytes(at: 0, count: 2)
      let output = try OutputFile(path: folder.path("g"), byteCount: 2, replacing: false)
      try output.write(bytes, at: 0)
      try output.commit()
    }
    #expect(Folder.kind(folder.path("g")) == .missing)
  }
}
