import Foundation
import TinctureCore

/// A new folder that is removed with its contents at the end of the test.
public final class TemporaryFolder: Sendable {
  public let path: String

  public init() throws {
    let template = FileManager.default.temporaryDirectory.path + "/tincture-test-XXXXXX"
    var bytes = Array(template.utf8CString)
    guard mkdtemp(&bytes) != nil else { throw CocoaError(.fileWriteUnknown) }
    path = String(decoding: bytes.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of `name` in the folder.
  public func path(_ name: String) -> String { path + "/" + name }
}

/// The repository this test was compiled in.
public enum Repository {
  public static let path: String = {
    // Tests/Support/TemporaryFolder.swift → three levels up.
    var url = URL(fileURLWithPath: #filePath)
    for _ in 0..<3 { url.deleteLastPathComponent() }
    return url.path
  }()

  public static func path(_ name: String) -> String { path + "/" + name }

  /// Contents of a file below the repository.
  public static func contents(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: path(name)))
  }

  /// Paths of the files with `suffix` below `folder`, relative to the repository, sorted.
  public static func files(in folder: String, suffix: String) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: path(folder))
      .filter { $0.hasSuffix(suffix) }
      .map { folder + "/" + $0 }
      .sorted()
  }
}
