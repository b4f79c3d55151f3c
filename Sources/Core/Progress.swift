/// One step of a running job, for a progress line.
public struct Progress: Sendable {
  /// What is being worked on, a tensor's name as a rule.
  public let item: String
  public let completedBytes: UInt64
  public let totalBytes: UInt64

  public init(item: String, completedBytes: UInt64, totalBytes: UInt64) {
    self.item = item
    self.completedBytes = completedBytes
    self.totalBytes = totalBytes
  }
}
