import TinctureCore
import TinctureParity

extension VerifyJob {
  /// Checks that the reports' names may be written, before anything is computed.
  ///
  /// - Throws: `output.isInput`, `file.exists`, `file.write`.
  public func check(_ outputs: ParityReport.Outputs, otherInputs: [String]) throws(TinctureError) {
    let paths = [outputs.html, outputs.junit].compactMap { $0 }
    guard !paths.isEmpty else { return }
    let model = try ParityModel(candidate, binding: binding)
    try ParityOutputs.check(paths, against: model, others: otherInputs)
    for path in paths {
      try OutputSet.check(parts: [(path, 0)], replacing: outputs.replacing)
    }
  }
}

extension ParityReport {
  /// Reports to write as files.
  public struct Outputs: Sendable {
    public var html: String?
    public var junit: String?
    /// Whether files of these names may be replaced.
    public var replacing: Bool

    public init(html: String? = nil, junit: String? = nil, replacing: Bool = false) {
      self.html = html
      self.junit = junit
      self.replacing = replacing
    }
  }

  /// Writes the HTML page and the JUnit XML; each appears under its name only when it is whole.
  ///
  /// - Throws: `file.exists`, `file.write`, `disk.full`.
  public func write(_ outputs: Outputs, seconds: Double) throws(TinctureError) {
    var files: [(path: String, bytes: [UInt8])] = []
    if let path = outputs.html { files.append((path, html())) }
    if let path = outputs.junit { files.append((path, junit(seconds: seconds))) }
    try outputs.write(files)
  }
}

extension ParityReport.Outputs {
  fileprivate func write(_ files: [(path: String, bytes: [UInt8])]) throws(TinctureError) {
    for (path, bytes) in files {
      let file = try OutputFile(
        path: path, byteCount: UInt64(bytes.count), replacing: replacing, isModel: false)
      try file.write(bytes, at: 0)
      try file.commit()
    }
  }

  /// Writes JUnit XML and a page that say why nothing was compared, where there are names for them; returns what kept one from
  /// being written.
  ///
  /// Not for wrong words, an interrupt and outputs that cannot be written. A model that cannot be opened does not say which
  /// files it consists of: so only a file that begins as XML or HTML is replaced, which none of them does.
  /// - Parameter inputs: paths that the command was given to read.
  package func write(
    _ error: TinctureError, candidate: String, reference: String, inputs: [String],
    seconds: Double
  ) -> [TinctureError] {
    guard error.code.name != "disk.full" else { return [] }
    switch error.code.kind {
    case .invalidInput, .unsupported, .limit, .internalError: break
    case .usage, .cannotWrite, .interrupted, .negative: return []
    }
    var faults: [TinctureError] = []
    let names = inputs + [candidate, reference]
    let inputs = names.compactMap { input in Folder.identity(input).map { (input, $0) } }
    func leave(_ path: String?, _ mark: String, _ bytes: @autoclosure () -> [UInt8]) {
      guard let path else { return }
      do throws(TinctureError) {
        // An input that is not there has no identity.
        if names.contains(path) { throw ParityOutputs.isInput(path, path) }
        try ParityOutputs.check([path], inputs: inputs)
        if Folder.kind(path) == .file { try Self.check(path, beginsWith: mark) }
        try write([(path, bytes())])
      } catch {
        faults.append(error)
      }
    }
    leave(
      junit, "<?xml", error.junit(candidate: candidate, reference: reference, seconds: seconds))
    leave(html, "<!DOCTYPE html>", error.html(candidate: candidate, reference: reference))
    return faults
  }

  private static func check(_ path: String, beginsWith mark: String) throws(TinctureError) {
    let old = try InputFile(path: path)
    let head = try old.bytes(at: 0, count: min(mark.utf8.count, Int(clamping: old.byteCount)))
    guard head.isEmpty || head == Array(mark.utf8) else {
      throw TinctureError(
        .init("file.exists", .cannotWrite), "the output's name is taken by something else",
        place: .init(file: path), expected: "a file that begins with \(mark)",
        advice: "give another name")
    }
  }
}
