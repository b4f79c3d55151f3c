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
      #expect(now == Self.old || now == whole, "attempt \(attempt)")
      if result.wasKilled { killed += 1 } else { #expect(now == whole, "attempt \(attempt)") }
    }
    #expect(killed == 25, "too few runs were caught at work")
    // What a killed run left behind is no obstacle.
    #expect(try Tool.run(arguments).status == 0)
    #expect(try bytes(output) == whole)
    #expect(try names(folder.path) == ["out.gguf"])
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
      #expect(try bytes(output) == (result.status == 0 ? whole : Self.old), "attempt \(attempt)")
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
