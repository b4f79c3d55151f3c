import Foundation

/// The built `tincture` program, run as a process of its own.
public enum Tool {
  /// What a run gave back.
  public struct Result: Sendable {
    /// Exit status, or 128 + signal when a signal ended it.
    public let status: Int32
    public let wasKilled: Bool
    public let output: String
    public let errors: String
    public let outputBytes: [UInt8]
  }

  /// The folder of the test's own executable, where the build puts every program.
  public static let folder: String = {
    let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return ((own ?? ".") as NSString).deletingLastPathComponent
  }()

  public static var path: String { folder + "/tincture" }

  /// Runs `program` (by default tincture) to its end.
  ///
  /// - Parameter input: what it reads from standard input; nil: nothing.
  public static func run(
    _ arguments: [String], program: String? = nil, environment: [String: String] = [:],
    workingFolder: String? = nil, input: String? = nil
  ) throws -> Result {
    guard let input else {
      return try start(
        arguments, program: program, environment: environment, workingFolder: workingFolder
      ).finish()
    }
    let folder = try TemporaryFolder()
    try Data(input.utf8).write(to: URL(fileURLWithPath: folder.path("in")))
    return try start(
      arguments, program: program, environment: environment, workingFolder: workingFolder,
      input: FileHandle(forReadingAtPath: folder.path("in"))
    ).finish()
  }

  /// Starts `program` and comes back at once.
  public static func start(
    _ arguments: [String], program: String? = nil, environment: [String: String] = [:],
    workingFolder: String? = nil, input: FileHandle? = nil
  ) throws -> Running {
    let files = try TemporaryFolder()
    for name in ["out", "err"] {
      _ = FileManager.default.createFile(atPath: files.path(name), contents: nil)
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program ?? path)
    process.arguments = arguments
    var variables = ProcessInfo.processInfo.environment
    for name in variables.keys where name.hasPrefix("TINCTURE_") { variables[name] = nil }
    variables["SWIFT_BACKTRACE"] = "enable=no"
    for (name, value) in environment { variables[name] = value }
    process.environment = variables
    if let workingFolder { process.currentDirectoryURL = URL(fileURLWithPath: workingFolder) }
    process.standardInput = input ?? FileHandle.nullDevice
    process.standardOutput = FileHandle(forWritingAtPath: files.path("out"))
    process.standardError = FileHandle(forWritingAtPath: files.path("err"))
    try process.run()
    return Running(process: process, files: files)
  }

  /// A process under way.
  public struct Running {
    let process: Process
    let files: TemporaryFolder

    public var isRunning: Bool { process.isRunning }

    public func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    public func finish() throws -> Result {
      process.waitUntilExit()
      let wasKilled = process.terminationReason == .uncaughtSignal
      let output = try Data(contentsOf: URL(fileURLWithPath: files.path("out")))
      let errors = try Data(contentsOf: URL(fileURLWithPath: files.path("err")))
      return Result(
        status: process.terminationStatus + (wasKilled ? 128 : 0), wasKilled: wasKilled,
        output: String(decoding: output, as: UTF8.self),
        errors: String(decoding: errors, as: UTF8.self), outputBytes: Array(output))
    }
  }
}
