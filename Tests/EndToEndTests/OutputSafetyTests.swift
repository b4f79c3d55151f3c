import Foundation
import Testing
import Tincture
import TinctureCore
import TinctureTestSupport

/// Whatever happens, the final name holds a whole file: the new one or the old one.
@Suite struct OutputSafetyTests {
  private static let old = Data("an older output".utf8)

  private func writeOld(_ path: String) throws {
    try Self.old.write(to: URL(fileURLWithPath: path))
  }

  @Test func everyFileOperationMayFail() throws {
    let result = try Tool.run([], program: Tool.folder + "/tincture-faults")
    #expect(result.status == 0, "\(result.output)\(result.errors)")
    // 4 scenarios by 6 operations; each line ends with how many operations were failed.
    let counts = result.output.split(separator: "\n").compactMap { line in
      line.split(separator: " ").last.flatMap { Int($0) }
    }
    #expect(counts.count == 24 && counts.allSatisfy { $0 > 0 }, "\(result.output)")
  }

  /// Weights that are written over with as many bytes while they are read would give a file of two models.
  @Test func inputsThatChangeMeanwhile() throws {
    let checkpoint = try EditedCheckpoint("llama")
    try checkpoint.write()
    let weights = checkpoint.folder.path("model.safetensors")
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: weights)
    let outputs = try TemporaryFolder()
    let opened = try Checkpoint.open(checkpoint.path)
    let plan = try ExportPlan(try opened.bind(), recipe: try Recipe.named("q8_0"))
    let job = ExportJob(plan, of: opened, to: outputs.path("out.gguf"))
    // The same bytes again: only the time tells.
    let same = try bytes(weights)
    let error = #expect(throws: TinctureError.self) {
      _ = try job.run(
        Resources(threads: 1) { _ in
          let handle = FileHandle(forUpdatingAtPath: weights)
          handle?.write(same)
          try? handle?.close()
        })
    }
    #expect(error?.code.name == "file.changed", "\(String(describing: error))")
    #expect(error?.place.file == weights)
    #expect(try names(outputs.path).isEmpty)
    // Nobody writes any more.
    let again = try Checkpoint.open(checkpoint.path)
    let whole = try ExportPlan(try again.bind(), recipe: try Recipe.named("q8_0"))
    _ = try ExportJob(whole, of: again, to: outputs.path("out.gguf")).run()
    #expect(try names(outputs.path) == ["out.gguf"])
  }

  @Test func killedAtRandomMoments() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let arguments = [
      "quantize", source, "-o", output, "--recipe", "q4_k_m", "--threads", "2", "--force",
      "--quiet",
    ]
    #expect(try Tool.run(arguments).status == 0)
    let whole = try bytes(output)
    var random = SeededRandom(seed: 20_261_124)
    var killed = 0
    for attempt in 0..<200 where killed < 25 {
      try writeOld(output)
      let running = try Tool.start(arguments)
      usleep(UInt32(random.next() % 60_000))
      running.send(SIGKILL)
      let result = try running.finish()
      let now = try bytes(output)
      let isWhole = now == whole
      let isEither = isWhole || now == Self.old
      #expect(isEither, "attempt \(attempt)")
      if result.wasKilled { killed += 1 } else { #expect(isWhole, "attempt \(attempt)") }
    }
    #expect(killed == 25, "too few runs were caught at work")
    // What a killed run left behind is no obstacle.
    #expect(try Tool.run(arguments).status == 0)
    let isWhole = try bytes(output) == whole
    #expect(isWhole)
    #expect(try names(folder.path) == ["out.gguf"])
  }

  /// A set of parts: whoever opens it by its first part finds the older set or the new one, never a mixture.
  @Test func splitOutputKilledAtRandomMoments() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    func arguments(_ recipe: String) -> [String] {
      [
        "quantize", source, "-o", output, "--recipe", recipe, "--split-size", "1M", "--threads",
        "2", "--force", "--quiet",
      ]
    }
    // Both recipes give as many parts.
    #expect(try Tool.run(arguments("q4_0")).status == 0)
    let old = try contents(folder.path)
    #expect(try Tool.run(arguments("q4_k_s")).status == 0)
    let whole = try contents(folder.path)
    #expect(old.keys.sorted() == whole.keys.sorted() && old.count > 2)
    let first = try #require(old.keys.sorted().first)
    var random = SeededRandom(seed: 20_261_126)
    var killed = 0
    for attempt in 0..<200 where killed < 25 {
      for name in try names(folder.path) {
        try FileManager.default.removeItem(atPath: folder.path(name))
      }
      for (name, content) in old {
        try content.write(to: URL(fileURLWithPath: folder.path(name)))
      }
      let running = try Tool.start(arguments("q4_k_s"))
      usleep(UInt32(random.next() % 80_000))
      running.send(SIGKILL)
      if try running.finish().wasKilled { killed += 1 }
      let now = try contents(folder.path)
      let finals = now.filter { !$0.key.hasSuffix(".partial") && !$0.key.hasSuffix(".replaced") }
      if finals[first] == nil {
        // Killed between the renames: nobody can open the set, and nothing of the old one is lost.
        for (name, content) in old {
          let isKept = now[name + ".replaced"] == content || finals[name] == content
          #expect(isKept, "\(attempt)")
        }
      } else {
        let isEither = finals == old || finals == whole
        #expect(isEither, "attempt \(attempt): \(now.keys.sorted())")
      }
    }
    #expect(killed == 25, "too few runs were caught at work")
  }

  private func contents(_ folder: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try names(folder) { files[name] = try bytes(folder + "/" + name) }
    return files
  }

  @Test(arguments: [SIGINT, SIGTERM]) func interruptCleansUp(signal: Int32) throws {
    let folder = try TemporaryFolder()
    var model = SyntheticModel()
    model.layerCount = 4
    let source = folder.path("source.gguf")
    try model.write(to: source)
    let output = folder.path("out.gguf")
    let arguments = [
      "quantize", source, "-o", output, "--recipe", "q3_k_m", "--threads", "1", "--force",
    ]
    #expect(try Tool.run(arguments).status == 0)
    let whole = try bytes(output)
    var random = SeededRandom(seed: UInt64(signal))
    var interrupted = 0
    for attempt in 0..<60 where interrupted < 3 {
      try writeOld(output)
      // The scalar encoder, one thread: the longest a run of this size can take.
      let running = try Tool.start(arguments, environment: ["TINCTURE_ISA": "scalar"])
      usleep(UInt32(random.next() % 300_000))
      running.send(signal)
      let result = try running.finish()
      // Before the handlers are installed a signal still kills; afterwards it never does.
      #expect(result.wasKilled || [0, 130].contains(result.status), "attempt \(attempt)")
      let isRight = try bytes(output) == (result.status == 0 ? whole : Self.old)
      #expect(isRight, "attempt \(attempt)")
      #expect(try names(folder.path) == ["out.gguf", "source.gguf"])
      if result.status == 130, !result.wasKilled {
        #expect(result.errors.contains("run.interrupted"))
        interrupted += 1
      }
    }
    #expect(interrupted == 3, "too few runs were caught at work")
  }

  /// A limit on file sizes stands for a disk that fills up in the middle: writes fail, reserving does not.
  @Test func diskFullInTheMiddle() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    for replaces in [false, true] {
      if replaces { try writeOld(output) }
      // 256 blocks of 1024 bytes.
      let result = try Tool.run(
        [
          "-c", "ulimit -f 256; exec \"$0\" \"$@\"", Tool.path, "quantize", source, "-o", output,
          "--recipe", "q8_0", "--force", "--json",
        ], program: "/bin/bash")
      #expect(result.status == 5, "\(result.status) \(result.output)\(result.errors)")
      #expect(try names(folder.path) == (replaces ? ["out.gguf"] : []))
      if replaces { #expect(try bytes(output) == Self.old) }
    }
    // The same in the middle of a set of parts.
    try FileManager.default.removeItem(atPath: output)
    let split = try Tool.run(
      [
        "-c", "ulimit -f 256; exec \"$0\" \"$@\"", Tool.path, "quantize", source, "-o", output,
        "--recipe", "q8_0", "--split-size", "1M", "--json",
      ], program: "/bin/bash")
    #expect(split.status == 5, "\(split.status) \(split.output)\(split.errors)")
    #expect(try names(folder.path) == [])
  }

  @Test(.enabled(if: geteuid() == 0, "mounting a small disk needs root"))
  func diskFullFromTheStart() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let disk = folder.path("disk")
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
    let mount = try Tool.run(
      ["-t", "tmpfs", "-o", "size=1m", "none", disk], program: "/bin/mount")
    try #require(mount.status == 0, "no tmpfs can be mounted here: \(mount.errors)")
    defer { _ = try? Tool.run([disk], program: "/bin/umount") }
    let output = disk + "/out.gguf"
    try writeOld(output)
    let result = try Tool.run([
      "quantize", source, "-o", output, "--recipe", "q8_0", "--force", "--json",
    ])
    #expect(result.status == 6)
    let error = try object(result).member("error")
    #expect(try error.member("code").string() == "disk.full")
    #expect(try names(disk) == ["out.gguf"])
    #expect(try bytes(output) == Self.old)
  }

  @Test func inputTruncatedWhileRead() throws {
    let folder = try TemporaryFolder()
    let source = folder.path("source.gguf")
    try SyntheticModel().write(to: source)
    let output = folder.path("out.gguf")
    let checkpoint = try Checkpoint.open(source)
    let plan = try ExportPlan(try checkpoint.bind(), recipe: try Recipe.named("q8_0"))
    let middle = try #require(plan.entries.dropFirst(4).first)
    let job = ExportJob(plan, of: checkpoint, to: output)
    let resources = Resources(threads: 1) { progress in
      // Cut after the first tensor's data, so that a later read meets the end.
      if progress.item == middle.name { truncate(source, 3_000_000) }
    }
    let error = #expect(throws: TinctureError.self) { try job.run(resources) }
    #expect(error?.code.name == "file.truncated")
    #expect(error?.place.file == source)
    #expect(error?.place.tensor != nil)
    #expect(try names(folder.path) == ["source.gguf"])
  }

  /// A partial file is never taken for a whole one, and somebody else's file of that name is left alone.
  @Test func partialFilesAreKnown() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let partial = output + ".partial"
    let words = ["quantize", source, "-o", output, "--recipe", "q8_0", "--force", "--json"]
    let foreign = [
      Data("GGUF of a download under way".utf8), Data("notes".utf8), Data(repeating: 0, count: 100),
    ]
    for content in foreign {
      try content.write(to: URL(fileURLWithPath: partial))
      let result = try Tool.run(words)
      #expect(result.status == 5, "\(result.output)")
      #expect(try object(result).member("error").member("code").string() == "file.partial")
      #expect(try bytes(partial) == content)
      #expect(try names(folder.path) == ["out.gguf.partial"])
    }
    // What is under way begins with the marker; that, or an empty file, may be written over.
    try FileManager.default.removeItem(atPath: partial)
    let file = try OutputFile(path: output, byteCount: 1000, replacing: false)
    try file.write(Array("GGUF and all that follows it".utf8), at: 0)
    #expect(try bytes(partial).starts(with: Data("tincture partial".utf8)))
    let left = try bytes(partial)
    file.abandon()
    for content in [left, Data()] {
      try content.write(to: URL(fileURLWithPath: partial))
      #expect(try Tool.run(words).status == 0)
      #expect(try names(folder.path) == ["out.gguf"])
    }
  }

  /// A run killed after its file's first bytes were written, before the file had its name, is no obstacle; one that is
  /// at work there is.
  @Test func killedBeforeItsName() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    let finishing = OutputFile.finishingPath(output)
    let words = ["quantize", source, "-o", output, "--recipe", "q8_0", "--force", "--json"]
    for content in [Data("GGUF and all that follows it".utf8), Data()] {
      try content.write(to: URL(fileURLWithPath: finishing))
      let result = try Tool.run(words)
      #expect(result.status == 0, "\(result.output)")
      #expect(try names(folder.path) == ["out.gguf"])
    }
    try Data("GGUF".utf8).write(to: URL(fileURLWithPath: finishing))
    let holder = open(finishing, O_RDONLY | O_CLOEXEC)
    defer { close(holder) }
    try #require(flock(holder, LOCK_EX) == 0)
    let result = try Tool.run(words)
    #expect(result.status == 5)
    #expect(try object(result).member("error").member("code").string() == "file.busy")
    #expect(try names(folder.path) == ["out.gguf", "out.gguf.tincture.partial"])
  }

  /// At whatever moment a run is killed, the next one is not held up by what it left.
  @Test func killedAndRunAgain() throws {
    let folder = try TemporaryFolder()
    let source = folder.path("source.gguf")
    try SyntheticModel.tiny.write(to: source)
    let output = folder.path("out.gguf")
    let words = ["quantize", source, "-o", output, "--recipe", "q8_0", "--force", "--quiet"]
    var random = SeededRandom(seed: 20_261_127)
    for attempt in 0..<40 {
      let running = try Tool.start(words)
      usleep(UInt32(random.next() % 30_000))
      running.send(SIGKILL)
      let killed = try running.finish()
      #expect(killed.wasKilled || killed.status == 0, "attempt \(attempt): \(killed.errors)")
    }
    let last = try Tool.run(words)
    #expect(last.status == 0, "\(last.errors)")
    #expect(try names(folder.path) == ["out.gguf", "source.gguf"])
  }

  /// Where no file can be opened any more, threads still start, or the error says what is short.
  @Test(arguments: 6...12) func fewFileDescriptors(count: Int) throws {
    let folder = try TemporaryFolder()
    let result = try Tool.run(
      [
        "-c", "ulimit -n \(count); exec \"$0\" \"$@\"", Tool.path, "convert",
        TinyModels.path("qwen3"), "-o", folder.path("out.gguf"), "--json", "--threads", "2",
      ], program: "/bin/bash")
    #expect(!result.wasKilled && [0, 3, 5].contains(result.status), "\(result)")
    #expect(try names(folder.path) == (result.status == 0 ? ["out.gguf"] : []))
  }

  @Test(arguments: [0, 5, 16, 40]) func shortFilesAreWhole(count: Int) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("file")
    let content = (0..<count).map { UInt8($0) }
    let file = try OutputFile(path: path, byteCount: UInt64(count), replacing: false)
    // In pieces, the last one first.
    try file.write(Array(content.dropFirst(3)), at: 3)
    try file.write(Array(content.prefix(3)), at: 0)
    try file.commit()
    #expect(try bytes(path) == Data(content))
  }

  @Test func twoRunsOneTarget() throws {
    let source = try fixture().source
    let folder = try TemporaryFolder()
    let output = folder.path("out.gguf")
    // Somebody else holds the partial file.
    let holder = try OutputFile(path: output, byteCount: 10, replacing: false)
    let result = try Tool.run(["quantize", source, "-o", output, "--recipe", "q8_0", "--json"])
    #expect(result.status == 5)
    #expect(
      try object(result).member("error").member("code").string() == "file.busy")
    holder.abandon()
    #expect(try Tool.run(["quantize", source, "-o", output, "--recipe", "q8_0"]).status == 0)
  }
}
