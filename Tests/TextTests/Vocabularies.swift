import Foundation
import Testing
import TinctureCore
import TinctureTestSupport
import TinctureText

/// A folder with the given files.
func folder(_ files: [String: String]) throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  for (name, text) in files {
    try Data(text.utf8).write(to: URL(fileURLWithPath: folder.path(name)))
  }
  return folder
}

/// The code of the error that `body` throws.
func code(_ body: () throws -> some Any) -> String? {
  do {
    _ = try body()
    return nil
  } catch let error as TinctureError {
    return error.code.name
  } catch {
    return "\(error)"
  }
}
