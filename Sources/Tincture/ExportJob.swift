import TinctureBlocks
import TinctureCalibration
import TinctureCore

/// Writes a plan's output: the one job behind `convert` and `quantize`.
public struct ExportJob: Sendable {
  public let plan: ExportPlan
  public let checkpoint: Checkpoint
  /// Final path, or the name the parts of a split output are named after.
  public let path: String
  /// Whether existing outputs may be replaced.
  public let replaces: Bool
  /// Other files that must not be written over (an importance matrix).
  private let otherInputs: [String]

  /// - Parameter statistics: the importance matrix the plan was made with; it counts as an input.
  public init(
    _ plan: ExportPlan, of checkpoint: Checkpoint, to path: String, replacing: Bool = false,
    statistics: StatisticsFile? = nil
  ) {
    self.plan = plan
    self.checkpoint = checkpoint
    self.path = path
    replaces = replacing
    otherInputs = statistics.map { [$0.path] } ?? []
  }

  /// Checks everything, writes `NAME.partial`, syncs it and gives it its name.
  ///
  /// On any failure the partial file is removed and a file of that name is what it was before.
  ///
  /// - Throws: `output.isInput`, `file.exists`, `file.busy`, `file.write`, `file.changed` (an input was written to
  ///   meanwhile), `disk.full`, `memory.budget`,
  ///   `run.interrupted`, and what reading and encoding throw.
  /// - Complexity: O(weights); memory as ``ExportPlan/memoryByteCount(threads:)`` says, within the budget.
  public func run(_ resources: Resources = Resources()) throws(TinctureError) -> JobReport {
    let start = ContinuousClock.now
    try InstructionSet.check()
    try resources.cancellation.check()
    let parts = try checkedParts()
    let outputs = try OutputSet(parts: parts, replacing: replaces)
    let outcome: (threads: Int, notes: [String])
    do throws(TinctureError) {
      outcome = try Exporter(plan, outputs: outputs).run(resources)
      try resources.cancellation.check()
      try plan.model.source.checkUnchanged()
      try outputs.commit()
    } catch {
      outputs.abandon()
      throw error
    }
    return report(
      parts, isWritten: true, threads: outcome.threads, notes: outcome.notes, start: start,
      resources)
  }

  /// Makes every check of ``run(_:)`` that needs no writing, and writes nothing.
  public func rehearse(_ resources: Resources = Resources()) throws(TinctureError) -> JobReport {
    let start = ContinuousClock.now
    let parts = try checkedParts()
    try OutputSet.check(parts: parts, replacing: replaces)
    let need = plan.memoryByteCount(threads: 1)
    try resources.memory.lease(need, for: "one worker's buffers and the header")
    resources.memory.giveBack(need)
    return report(parts, isWritten: false, threads: resources.threads, start: start, resources)
  }

  private func report(
    _ parts: [(path: String, byteCount: UInt64)], isWritten: Bool, threads: Int,
    notes: [String] = [], start: ContinuousClock.Instant, _ resources: Resources
  ) -> JobReport {
    JobReport(
      plan: plan,
      notes: plan.notes + notes + ExportJob.olderOutputs(path, beside: parts.map(\.path)),
      sourcePath: checkpoint.path,
      outputs: parts.map { JobReport.Output(path: $0.path, byteCount: $0.byteCount) },
      isWritten: isWritten, threads: threads, seconds: secondsSince(start),
      bufferByteCount: resources.memory.highWaterMark)
  }

  /// The output files, none of which is an input under any name.
  private func checkedParts() throws(TinctureError) -> [(path: String, byteCount: UInt64)] {
    var inputs = try checkpoint.inputs(of: plan.model)
    for path in otherInputs {
      if let identity = Folder.identity(path) { inputs.append((path, identity)) }
    }
    var parts: [(path: String, byteCount: UInt64)] = []
    for (path, layout) in zip(plan.paths(for: path), plan.layouts) {
      for name in [path, path + ".partial", OutputFile.finishingPath(path), path + ".replaced"] {
        guard let identity = Folder.identity(name),
          let input = inputs.first(where: { $0.identity == identity })
        else { continue }
        throw TinctureError(
          .init("output.isInput", .cannotWrite), "the output would be written over an input",
          place: .init(file: name), expected: "a file that is not read",
          found: "the same file as \(input.path)", advice: "give another output name")
      }
      parts.append((path, layout.byteCount))
    }
    return parts
  }
}
