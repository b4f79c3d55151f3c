import TinctureCore

/// What a job did, for people and machines.
public struct JobReport: Sendable {
  /// Version of the JSON objects that reports and errors are printed as.
  public static let schemaVersion = 1

  /// A file that was written, or would have been.
  public struct Output: Sendable, Hashable {
    public let path: String
    public let byteCount: UInt64
  }

  /// What was planned.
  public let plan: ExportPlan
  /// The plan's notes, and what the job found beside the output.
  public let notes: [String]
  /// Where it came from.
  public let sourcePath: String
  public let outputs: [Output]
  /// False for a dry run.
  public let isWritten: Bool
  /// Workers that ran.
  public let threads: Int
  /// Seconds from the job's start to its end, sync and rename included.
  public let seconds: Double
  /// Most bytes the memory budget held at one time.
  public let bufferByteCount: Int
}

/// Seconds since a moment.
func secondsSince(_ start: ContinuousClock.Instant) -> Double {
  let parts = (ContinuousClock.now - start).components
  return Double(parts.seconds) + Double(parts.attoseconds) * 1e-18
}
